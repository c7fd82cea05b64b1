"""Lines about a command on stderr: plain for a person at a terminal, with time and level elsewhere, or as JSON.

Botocore's log is excluded: at DEBUG it holds credentials.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from appstream_export.cli import console
from appstream_export.version import __version__

LOG_FORMATS = ("text", "json")
LOG_FORMAT_VARIABLE = "APPSTREAM_EXPORT_LOG_FORMAT"
ROOT_LOGGER = "appstream_export"
PROGRESS_LOGGER = "appstream_export.cli.progress"
"""The logger of the lines that a run writes as it goes on: shown at INFO, except with --quiet."""
FormatRecord = Callable[[logging.LogRecord], str]


class _StderrHandler(logging.Handler):
    """Handler that writes the package's log to stderr, a line per record."""

    def __init__(self, format_record: FormatRecord) -> None:
        super().__init__()
        self.format_record = format_record

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to stderr as one line."""
        console.log_line(self.format_record(record))


def configure_log(words: Sequence[str], args: argparse.Namespace | None = None) -> None:
    """Write the package's log to stderr, as the options and the environment say.

    Without `args`, only the format is taken from the `words` of the command line: their parser's errors need it.
    """
    named = args.log_format if args else _find_named_format(words)
    log, progress = logging.getLogger(ROOT_LOGGER), logging.getLogger(PROGRESS_LOGGER)
    log.handlers[:] = [_StderrHandler(_choose_format(named or os.environ.get(LOG_FORMAT_VARIABLE)))]
    log.propagate = False
    is_quiet, is_verbose, is_debug = (bool(args and getattr(args, key)) for key in ("quiet", "verbose", "debug"))
    log.setLevel(logging.DEBUG if is_debug else logging.INFO if is_verbose else logging.WARNING)
    progress.setLevel(logging.WARNING if is_quiet else logging.INFO)


def is_json_log() -> bool:
    """Return whether stderr gets JSON."""
    handlers = logging.getLogger(ROOT_LOGGER).handlers
    return any(isinstance(h, _StderrHandler) and h.format_record is _format_json for h in handlers)


def log_event(
    level: int, text: str, fields: Mapping[str, object] | None = None, *, logger: str = PROGRESS_LOGGER
) -> None:
    """Log a line; JSON also gets the fields, which a program can filter by."""
    logging.getLogger(logger).log(level, "%s", text, extra={"fields": fields or {}})


def log_failure(text: str, fields: Mapping[str, object] | None = None) -> None:
    """Log the problem that ends a command, or that leaves a part of its work undone."""
    log_event(logging.ERROR, text, {"is_problem": True, **(fields or {})}, logger=f"{ROOT_LOGGER}.cli")


def _find_named_format(words: Sequence[str]) -> str | None:
    for n, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--log-format":
            return value if equals else next(iter(words[n + 1 :]), None)
    return None


def _choose_format(named: str | None) -> FormatRecord:
    if named == "json":
        return _format_json
    if named == "text":
        return _format_timed
    return _format_plain if console.is_terminal(sys.stderr) else _format_default


def _format_plain(record: logging.LogRecord) -> str:
    """Return a record for a person who looks on: its level only if something is wrong."""
    if _get_fields(record).get("is_problem"):
        return console.render_problem(record.getMessage())
    level = f"{record.levelname.lower()}: " if record.name != PROGRESS_LOGGER else ""
    return f"{level}{_format_message(record)}"


def _format_default(record: logging.LogRecord) -> str:
    """Return a record for a file or pipe: with its time, but a problem after the program's name, as usual."""
    return _format_plain(record) if _get_fields(record).get("is_problem") else _format_timed(record)


def _format_timed(record: logging.LogRecord) -> str:
    return f"{_format_time(record)} {record.levelname} {_format_message(record)}"


def _format_json(record: logging.LogRecord) -> str:
    import msgspec  # help and SQL start faster without it

    fields = {name: value for name, value in _get_fields(record).items() if name != "is_problem"}
    found = {
        "time": _format_time(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _format_message(record),
        "version": __version__,
        **fields,
    }
    if record.exc_info:
        found["traceback"] = logging.Formatter().formatException(record.exc_info)
    return msgspec.json.encode(found, enc_hook=str).decode()


def _format_message(record: logging.LogRecord) -> str:
    return console.strip_control_characters(record.getMessage())


def _format_time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _get_fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return getattr(record, "fields", {})
