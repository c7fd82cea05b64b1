"""Entry point `appstream-export COMMAND`: find the command, run it, and return its exit code.

This module imports nothing heavy. A command imports its stage when it runs, so that help and SQL start fast.
"""

import logging
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from appstream_export.cli import console
from appstream_export.cli.commands import add_commands
from appstream_export.cli.options import Parser, UsageError, add_global_options
from appstream_export.cli.signals import SIGNAL_EXIT_BASE, SignalInterrupt
from appstream_export.errors import ExportError
from appstream_export.version import __version__

EXIT_BUG = 70
EPILOG = """\
exit codes:
  0    ok
  1    the check failed: doctor, plan (discovery failed), status (late),
       verify, repair (a person must act), erase (data is left),
       contracts lint, contracts render --check, feeds verify, feeds diff,
       feeds publish (blocked by a check)
  2    wrong usage or configuration, nothing written; or stdout failed
  3    committed, but too many scopes failed ([extract] max_failed_ratio),
       a check failed, or catalog, feeds or report could not be published
  4    nothing committed; commands that only read: the warehouse could not
       be read
  70   a bug
  130, 143
       interrupted, nothing committed; during a commit: all or nothing,
       see status

AppStream 2.0 is also called Amazon WorkSpaces Applications."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; report an expected failure in one line on stderr."""
    console.configure_streams()
    # Read before parsing: --debug also applies to the errors of the parser.
    is_debug = "--debug" in (sys.argv if argv is None else argv)
    try:
        code = _dispatch_command(argv)
        # Flush here: a stdout that fails must become an exit code, not an error while Python exits.
        console.flush_output()
    except (ExportError, SignalInterrupt) as error:
        lines = error.lines if isinstance(error, ExportError) else [str(error)]
        code = _report_failure(error, lines, error.exit_code, is_debug=is_debug)
    except KeyboardInterrupt:
        code = SIGNAL_EXIT_BASE + signal.SIGINT
    except SystemExit as ended:  # argparse, after --help and --version
        code = ended.code if isinstance(ended.code, int) else 0
    except Exception as error:  # noqa: BLE001 - the outermost handler: any other exception is a bug
        code = _report_failure(error, [_format_bug(error)], EXIT_BUG, is_debug=is_debug)
    return code


def build_parser(first: str = "") -> Parser:
    """Build the parser of all commands; if `first` names a command, only of the module that defines it."""
    parser = Parser(
        prog=console.PROG,
        description="Every AppStream 2.0 image builder of your accounts and regions, as Parquet and DuckDB.",
        epilog=EPILOG,
    )
    parser.set_defaults(call=None, parser=parser)
    parser.add_argument("--version", action="version", version=f"{console.PROG} {__version__}")
    add_global_options(parser, config=None, debug=False)
    add_commands(parser.add_subparsers(title="commands", metavar="COMMAND"), first)
    return parser


def _dispatch_command(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    # Not parse_args: its error for unknown words suggests no correction.
    args, extra = build_parser(words[0] if words else "").parse_known_args(words)
    if extra:
        args.parser.reject_argument(extra[0])
    if args.call is None:
        console.log_line(args.parser.format_help().rstrip())
        return UsageError.exit_code
    _configure_logging(logging.DEBUG if args.debug else logging.WARNING)
    return args.call(args)


def _report_failure(error: Exception, lines: Sequence[str], code: int, *, is_debug: bool) -> int:
    if is_debug:
        console.log_line("".join(traceback.format_exception(error)).rstrip())
    for line in lines:
        console.log_problem(line)
    return code


def _format_bug(error: Exception) -> str:
    at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(at.filename).name}:{at.lineno}"
    return f"this is a bug: {type(error).__name__} at {place}: {error}; rerun with --debug and report what it prints"


class _StderrHandler(logging.Handler):
    """Handler that writes the package's log to stderr. Botocore's log is excluded: at DEBUG it holds credentials."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to stderr as one line."""
        console.log_line(console.strip_control_characters(f"{record.levelname.lower()}: {record.getMessage()}"))


def _configure_logging(level: int) -> None:
    log = logging.getLogger("appstream_export")
    log.handlers[:] = [_StderrHandler()]
    log.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
