"""The same answer the ordinary way: Flask, SQLAlchemy's ORM and jsonify, on PostgreSQL.

It is run by gunicorn and finds its database in DATABASE_URL.
"""

# mypy: ignore-errors
# Flask is not a dependency of airq; it is installed for the benchmarks alone, not where types are checked.

import os
from datetime import datetime

from flask import Flask, Response, jsonify
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime
from sqlalchemy.orm import Mapped, mapped_column

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
db = SQLAlchemy(app)


class Measurement(db.Model):
    """What one station measured at one time."""

    __tablename__ = "measurement"

    id: Mapped[int] = mapped_column(primary_key=True)
    time_instant: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    id_entity: Mapped[str] = mapped_column(index=True)
    so2: Mapped[float | None]
    no2: Mapped[float | None]
    co: Mapped[float | None]
    o3: Mapped[float | None]
    pm10: Mapped[float | None]
    pm2_5: Mapped[float | None]


with app.app_context():
    db.create_all()


@app.get("/air_quality")
def air_quality() -> Response:
    """Answer with all measurements."""
    measurements = Measurement.query.order_by(Measurement.time_instant).all()
    return jsonify(
        [
            {
                "timestamp": measurement.time_instant.isoformat(),
                "station": measurement.id_entity,
                "so2": measurement.so2,
                "no2": measurement.no2,
                "co": measurement.co,
                "o3": measurement.o3,
                "pm10": measurement.pm10,
                "pm2_5": measurement.pm2_5,
            }
            for measurement in measurements
        ]
    )
