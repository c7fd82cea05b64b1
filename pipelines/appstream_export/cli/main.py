"""Entry point `appstream-export COMMAND`: find the command, run it, and return its exit code.

This module imports nothing heavy. A command imports its stage when it runs, so that help and SQL start fast.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from appstream_export.cli import console
from appstream_export.cli.commands import add_commands
from appstream_export.cli.log import configure_log, is_json_log, log_failure
from appstream_export.cli.options import Parser, UsageError, add_global_options
from appstream_export.cli.signals import SIGNAL_EXIT_BASE, SignalInterrupt
from appstream_export.errors import ExportError
from appstream_export.version import __version__

EXIT_BUG = 70
_EXIT_CODES = {
    "0": "ok",
    "1": "the check failed: doctor, plan (discovery failed), status (late), verify, repair (a person must act), erase "
    "(data is left), contracts lint, contracts render --check, feeds verify, feeds diff, feeds publish (blocked by a "
    "check)",
    "2": "wrong usage or configuration, nothing written; or stdout failed",
    "3": "committed, but too many scopes failed ([extract] max_failed_ratio), a check failed, or catalog, feeds or "
    "report could not be published",
    "4": "nothing committed; commands that only read: the warehouse could not be read",
    "70": "a bug",
    "130": "interrupted, nothing committed; during a commit: all or nothing, see status. 143: by SIGTERM",
}
EPILOG = "\n".join(
    [
        "exit codes:",
        *(f"  {code:<3}  {meaning}" for code, meaning in _EXIT_CODES.items()),
        "",
        "AppStream 2.0 is also called Amazon WorkSpaces Applications.",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; report an expected failure in one line on stderr."""
    console.configure_streams()
    # Read before parsing: --debug also applies to the errors of the parser.
    words = sys.argv[1:] if argv is None else argv
    is_debug = "--debug" in words
    configure_log(words)
    try:
        code = _dispatch_command(words)
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
    add_global_options(parser, is_command=False)
    add_commands(parser.add_subparsers(title="commands", metavar="COMMAND"), first)
    return parser


def _dispatch_command(words: Sequence[str]) -> int:
    # Not parse_args: its error for unknown words suggests no correction.
    args, extra = build_parser(words[0] if words else "").parse_known_args(words)
    if extra:
        args.parser.reject_argument(extra[0])
    if args.call is None:
        console.log_line(args.parser.format_help().rstrip())
        return UsageError.exit_code
    configure_log(words, args)
    return args.call(args)


def _report_failure(error: Exception, lines: Sequence[str], code: int, *, is_debug: bool) -> int:
    import traceback  # slow to import, and seldom needed

    trace = "".join(traceback.format_exception(error)).rstrip() if is_debug else None
    if trace and not is_json_log():
        console.log_line(trace)
    for line in lines:
        log_failure(line, {"exit_code": code, "error": type(error).__name__} | ({"traceback": trace} if trace else {}))
    return code


def _format_bug(error: Exception) -> str:
    import traceback

    at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(at.filename).name}:{at.lineno}"
    return f"this is a bug: {type(error).__name__} at {place}: {error}; rerun with --debug and report what it prints"


if __name__ == "__main__":
    sys.exit(main())
