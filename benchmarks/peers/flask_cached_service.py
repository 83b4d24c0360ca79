"""The ordinary Flask service with its answers cached in Redis: Flask-Caching, and Flask-Compress for gzip.

It is run by gunicorn like the service without a cache, and finds its Redis in REDIS_URL. With
KEEP_COMPRESSED=1 Flask-Compress keeps what it has compressed in Redis too; by default it compresses each
answer anew.
"""

# mypy: ignore-errors
# As in the service without a cache.

import os

from flask_caching import Cache
from flask_compress import Compress

from benchmarks.peers.flask_service import app

KEPT_SECONDS = 600

__all__ = ["app"]

cache = Cache(
    app,
    config={
        "CACHE_TYPE": "RedisCache",
        "CACHE_REDIS_URL": os.environ["REDIS_URL"],
        "CACHE_DEFAULT_TIMEOUT": KEPT_SECONDS,
    },
)
# What the decorator @cache.cached(query_string=True) on the view does.
app.view_functions["air_quality"] = cache.cached(query_string=True)(app.view_functions["air_quality"])

if os.environ.get("KEEP_COMPRESSED") == "1":
    app.config["COMPRESS_CACHE_BACKEND"] = lambda: cache
    app.config["COMPRESS_CACHE_KEY"] = lambda request: request.full_path
Compress(app)
