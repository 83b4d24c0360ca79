"""`python -m airq` is `airq`."""

from airq.cli import main

main()
