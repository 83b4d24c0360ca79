"""`airq`: its commands, and how it ends."""

import io
import os
import signal
import sys
from pathlib import Path

import click

from airq import __version__
from airq.cli import loading, maintenance, presentation, serving
from airq.cli.statuses import status_of
from airq.config import read_settings
from airq.domain.errors import AirqError

EPILOG = """\b
Exit status: 0 done · 1 failed · 2 wrong usage or settings ·
3 loaded, but some rows were rejected · 4 a file was refused, nothing of it is visible.

Settings are environment variables: `airq settings` lists them."""


def main() -> None:
    """Run the command line; faults that people can mend are told without a traceback."""
    for name in ("stdout", "stderr"):
        # Without one, as behind `>&-`, it is as good as /dev/null; the next file would get its number.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 for the whole process
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character of a file or a station must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # A terminated command leaves by its clean-up, which stops a PostgreSQL of its own.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    try:
        airq(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("airq: stopped", err=True)
        sys.exit(130)
    except presentation.OutputClosed:
        # As if SIGPIPE had ended it, which Python ignores: without a word, and not as if all were done.
        sys.exit(128 + signal.SIGPIPE)
    except AirqError as error:
        presentation.show_error(str(error))
        sys.exit(status_of(error))


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96})
@click.version_option(__version__, prog_name="airq", message="%(prog)s %(version)s")
@click.pass_context
def airq(context: click.Context) -> None:
    """Load air-quality CSV files into PostgreSQL and serve them over HTTP.

    Without AIRQ_DATABASE_URL, airq keeps a PostgreSQL of its own in a data directory.
    """
    context.obj = read_settings(os.environ)


for command in (
    serving.serve,
    loading.load,
    loading.loads,
    loading.purge,
    maintenance.migrate,
    maintenance.verify,
    maintenance.simulate,
    maintenance.show_settings,
):
    airq.add_command(command)
