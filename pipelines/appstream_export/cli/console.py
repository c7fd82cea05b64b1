"""The streams of a command: results on stdout, messages about the run on stderr, text from AWS sanitized."""

import io
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from appstream_export.errors import ConfigurationError

PROG = "appstream-export"
# Whole escape sequences (colours, cursor, titles) go first, then remaining control characters and characters that
# reorder text: a terminal must show the text that is stored, and text from AWS must not control the terminal.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x80-\x9f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_COMMAND = re.compile(rf"(?<=: ){PROG}(?= [a-z])")
"""A command of this program in a message: `fix it with: appstream-export verify`."""
_SPACE = re.compile(r"[\t\n\v\f\r\u0085\u2028\u2029]+")
_DUCKDB_COMMANDS: Mapping[str, Sequence[str]] = {
    "duckdb": ("duckdb",),
    "uvx": ("uvx", "--from", "duckdb-cli", "duckdb"),
    "pipx": ("pipx", "run", "--spec", "duckdb-cli", "duckdb"),
}
"""Programs on the PATH that run DuckDB's prompt, the best first. The Python package `duckdb` does not have it."""
WIDTH_MIN = 40
"""Minimum width of output: a narrower terminal counts as this wide."""


class OutputError(ConfigurationError):
    """The result could not be written: stdout is full, broken or closed. A failing stderr never ends a command."""


class LogStream(io.TextIOBase):
    """Stderr as a stream for libraries that draw on it; text that cannot be written is dropped."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._stream = sys.stderr  # saved, because rich replaces sys.stderr with a proxy that writes here

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        _drop_failure(self._stream, lambda: (self._stream.write(text), self._stream.flush()))
        return len(text)

    def flush(self) -> None:
        """Do nothing: each text is flushed as it is written."""

    def isatty(self) -> bool:
        """Return whether stderr is a terminal."""
        return is_terminal(self._stream)

    def fileno(self) -> int:
        """Return the file descriptor of stderr."""
        return self._stream.fileno()


def strip_control_characters(text: str) -> str:
    """Return text on one line, without escape sequences, control characters or characters that reorder text."""
    return _CONTROL.sub("", _SEQUENCE.sub("", _SPACE.sub(" ", text)))


def print_result(text: str = "") -> None:
    """Write a line of the result to stdout. A reader that closed the pipe (`| head`) is not a failure."""
    _write_text(sys.stdout, text + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Write lines of the result to stdout."""
    for line in lines:
        print_result(line)


def print_summary(lines: Iterable[str]) -> None:
    """Write lines about finished work to stdout; ignore a stdout that fails, because the work is done."""
    with suppress(OutputError):
        print_lines(lines)
        flush_output()


def print_sanitized_lines(lines: Iterable[str]) -> None:
    """Write lines of the result without control characters: they may hold text from AWS."""
    print_lines(map(strip_control_characters, lines))


def print_verdict(problems: Sequence[str], passed: str) -> int:
    """Write the problems, or `passed` if there are none; return the exit code, 1 or 0."""
    print_sanitized_lines(problems or [passed])
    return 1 if problems else 0


def print_result_bytes(chunk: bytes) -> None:
    """Write bytes of the result to stdout: programs read UTF-8, whatever the encoding of the terminal."""
    if hasattr(sys.stdout, "buffer"):
        # Flush the text layer first, so that earlier text stays before these bytes.
        _guard_write(sys.stdout, lambda: (sys.stdout.flush(), sys.stdout.buffer.write(chunk)))
    else:  # a text-only stream, such as a test's
        print_result(chunk.decode("utf-8").removesuffix("\n"))


def log_line(text: str = "") -> None:
    """Write a line about the run to stderr. A stderr that is full, broken or closed never ends a command."""
    _write_text(sys.stderr, text + "\n")


def render_problem(text: str) -> str:
    """Return a problem as a line for stderr, after the program's name, with commands as this process was started."""
    shown = _COMMAND.sub(format_command(), strip_control_characters(text))
    return f"{style(f'{PROG}:', '1;31', sys.stderr)} {_style_problem(shown)}"


def _style_problem(text: str) -> str:
    """Return a problem with its place in bold: a file with its line, or a variable."""
    place, colon, rest = text.partition(": ")
    is_place = bool(re.search(r" line \d+$", place) or re.fullmatch(r"[A-Z_0-9]+", place))
    return f"{style(place, '1', sys.stderr)}{colon}{rest}" if is_place else text


def format_command(*words: str) -> str:
    """Return a command of this program, quoted for a shell; with `uv run` if this process was started with it."""
    ours = (PROG,)
    started = ("uv", "run", *ours) if os.environ.get("UV_RUN_RECURSION_DEPTH") else ours
    return quote_shell_words(*started, *words)


def format_duckdb_command(*words: str) -> str:
    """Return a command of the program `duckdb`; if it is not installed, in a form that gets it first."""
    found = next((name for name in _DUCKDB_COMMANDS if shutil.which(name)), "duckdb")
    line = quote_shell_words(*_DUCKDB_COMMANDS[found], *words)
    return line if shutil.which(found) else f"{line}    # get it: pip install duckdb-cli"


def quote_shell_words(*words: str) -> str:
    """Return words as a command line, quoted if a shell needs it; SQL gets double quotes, to stay readable."""
    return " ".join(f'"{w}"' if "'" in w and not set(w) & set('"$`\\!') else shlex.quote(w) for w in words)


def get_terminal_width() -> int:
    """Return the width for output: COLUMNS, else the terminal's, else 80; at least WIDTH_MIN."""
    return max(WIDTH_MIN, shutil.get_terminal_size((80, 24)).columns)


def get_result_width() -> int:
    """Return the width for rows: the terminal's or COLUMNS; unlimited in a pipe or file, where no line must wrap."""
    if os.environ.get("COLUMNS") or is_terminal(sys.stdout):
        return get_terminal_width()
    return sys.maxsize


def wrap_text(text: str, indent: str) -> str:
    """Return text that is broken between words to fit the terminal; lines after the first are indented."""
    return textwrap.fill(
        text, get_terminal_width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def has_colour(stream: TextIO) -> bool:
    """Return whether a stream shows styles: it is a terminal that supports them, and NO_COLOR is unset."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal."""
    return bool(getattr(stream, "isatty", lambda: False)())


def style(text: str, code: str, stream: TextIO | None = None) -> str:
    """Return `text` in bold (1), dim (2), red (31) ... if the stream shows styles, else unchanged."""
    return f"\x1b[{code}m{text}\x1b[0m" if has_colour(stream or sys.stdout) else text


def configure_streams() -> None:
    """Make stdout and stderr replace characters that they cannot encode, and open streams that are closed."""
    _occupy_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Flush stdout. A reader that closed the pipe is not a failure."""
    _guard_write(sys.stdout, sys.stdout.flush)


def _write_text(stream: TextIO, text: str) -> None:
    if stream is sys.stderr:
        _drop_failure(stream, lambda: (stream.write(text), stream.flush()))
    else:
        _guard_write(stream, lambda: stream.write(text))


def _drop_failure(stream: TextIO, write: Callable[[], object]) -> None:
    """Write to a stream, and ignore a failure."""
    with suppress(OutputError):
        _guard_write(stream, write)


def _guard_write(stream: TextIO, write: Callable[[], object]) -> None:
    """Write to a stream; raises OutputError if that fails, but not if the reader closed the pipe."""
    try:
        write()
    except BrokenPipeError:
        _mute_stream(stream)
    except (OSError, ValueError) as error:  # ValueError: the stream has been closed within this process
        _mute_stream(stream)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the output could not be written: {reason}") from error


def _mute_stream(stream: TextIO) -> None:
    """Redirect a stream and its buffer to /dev/null: Python flushes it at exit, and would exit with code 120."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _occupy_closed_streams() -> None:
    """Open descriptors 0 to 2 if they are closed, so that no file of the warehouse gets one of these numbers.

    Python has no stream for a closed descriptor: `sys.stdout` is None then.
    """
    # Stdout is opened read-only on purpose: a write must fail, because the result would be lost. Stderr may lose lines.
    for number, name, mode in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, mode), number)
        setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
