"""Air-quality CSV files in, a public HTTP API out."""

__version__ = "0.1.0"
