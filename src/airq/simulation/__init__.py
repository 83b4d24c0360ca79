"""Synthetic air: measurements that never happened, as CSV, for samples and scale tests.

The package stands beside `ingest` and not inside it because it runs the other way: `ingest` reads
the files that others wrote, this writes files that `ingest` reads, and neither needs the other.
"""

from airq.simulation.csv_file import write_csv
from airq.simulation.plan import Simulation, SimulationError

__all__ = ["Simulation", "SimulationError", "write_csv"]
