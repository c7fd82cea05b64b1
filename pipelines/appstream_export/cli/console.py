"""The two streams of a command: results on stdout, everything about the run on stderr; text from AWS made harmless."""

import io
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TextIO

from appstream_export.errors import ConfigurationError

PROG = "appstream-export"
# An escape sequence as a whole (colours, cursor, titles), then any control character left over, then the characters
# that reorder text, so that what is shown is what is stored.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x80-\x9f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"[\t\n\v\f\r\u0085\u2028\u2029]+")
WIDTH_MIN = 40
"""Narrower terminals are written for as if they had this width."""


class OutputError(ConfigurationError):
    """What takes the result, on stdout, is full, broken or closed. What takes the log never ends a command."""


class LogStream(io.TextIOBase):
    """Stderr as a stream for libraries that draw on it: what cannot be written is dropped."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._stream = sys.stderr  # rich puts a proxy in its place, which leads here

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        _drop_failure(self._stream, lambda: (self._stream.write(text), self._stream.flush()))
        return len(text)

    def flush(self) -> None:
        """Do nothing: each text is flushed as it is written."""

    def isatty(self) -> bool:
        """Return whether a person looks at stderr."""
        return is_terminal(self._stream)

    def fileno(self) -> int:
        """Return stderr's."""
        return self._stream.fileno()


def strip_control_characters(text: str) -> str:
    """One line without escape sequences, control characters or marks that reorder text; line breaks become a space."""
    return _CONTROL.sub("", _SEQUENCE.sub("", _SPACE.sub(" ", text)))


def print_result(text: str = "") -> None:
    """Write a line of the result to stdout. A reader that went away (`| head`) is no failure."""
    _write_text(sys.stdout, text + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Write lines of the result to stdout."""
    for line in lines:
        print_result(line)


def print_summary(lines: Iterable[str]) -> None:
    """Write lines about work that is done to stdout. If nothing takes them, the work is done all the same."""
    with suppress(OutputError):
        print_lines(lines)
        flush_output()


def print_sanitized_lines(lines: Iterable[str]) -> None:
    """Write lines of the result that may hold text from elsewhere."""
    print_lines(map(strip_control_characters, lines))


def print_verdict(problems: Sequence[str], passed: str) -> int:
    """Write the problems, or `passed` where there are none; returns the exit code."""
    print_sanitized_lines(problems or [passed])
    return 1 if problems else 0


def print_result_bytes(chunk: bytes) -> None:
    """Write bytes of the result to stdout: what programs read is UTF-8 whatever the terminal's encoding."""
    if hasattr(sys.stdout, "buffer"):
        _guard_write(sys.stdout, lambda: (sys.stdout.flush(), sys.stdout.buffer.write(chunk)))
    else:  # a stream of text alone, such as a test's
        print_result(chunk.decode("utf-8").removesuffix("\n"))


def log_line(text: str = "") -> None:
    """Write a line about the run to stderr. A log that is full, broken or closed never ends a command."""
    _write_text(sys.stderr, text + "\n")


def log_problem(text: str) -> None:
    """Write what went wrong to stderr, in one line that begins with the command's name."""
    log_line(f"{PROG}: {strip_control_characters(text)}")


def format_command(*words: str) -> str:
    """Return one of our commands as it can be typed here: quoted, and through `uv run` if this one was started so."""
    ours = (PROG,)
    started = ("uv", "run", *ours) if os.environ.get("UV_RUN_RECURSION_DEPTH") else ours
    return quote_shell_words(*started, *words)


def quote_shell_words(*words: str) -> str:
    """Words of a command line, quoted where a shell needs it; SQL stays readable."""
    return " ".join(f'"{w}"' if "'" in w and not set(w) & set('"$`\\!') else shlex.quote(w) for w in words)


def get_terminal_width() -> int:
    """Columns to write for: COLUMNS, else the terminal's, else 80."""
    return max(WIDTH_MIN, shutil.get_terminal_size((80, 24)).columns)


def wrap_text(text: str, indent: str) -> str:
    """Broken between words to fit the width; the lines that follow are indented."""
    return textwrap.fill(
        text, get_terminal_width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def has_colour(stream: TextIO) -> bool:
    """Whether styles are wanted here: a terminal that knows them, and NO_COLOR unset."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at this stream."""
    return bool(getattr(stream, "isatty", lambda: False)())


def style(text: str, code: str, stream: TextIO | None = None) -> str:
    """`text` bold (1), dim (2), red (31) ... where the stream shows styles, else as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if has_colour(stream or sys.stdout) else text


def configure_streams() -> None:
    """Let no character fail: what the terminal cannot show is replaced. Streams that are closed are occupied."""
    _occupy_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Let everything said be seen now; a reader that went away is no failure."""
    _guard_write(sys.stdout, sys.stdout.flush)


def _write_text(stream: TextIO, text: str) -> None:
    if stream is sys.stderr:
        _drop_failure(stream, lambda: (stream.write(text), stream.flush()))
    else:
        _guard_write(stream, lambda: stream.write(text))


def _drop_failure(stream: TextIO, write: Callable[[], object]) -> None:
    """Write to a log, which may fail."""
    with suppress(OutputError):
        _guard_write(stream, write)


def _guard_write(stream: TextIO, write: Callable[[], object]) -> None:
    """Write; raises OutputError where that fails, but not where the reader went away."""
    try:
        write()
    except BrokenPipeError:
        _mute_stream(stream)
    except (OSError, ValueError) as error:  # ValueError: the stream has been closed within this process
        _mute_stream(stream)
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"the output could not be written: {reason}") from error


def _mute_stream(stream: TextIO) -> None:
    """Lead a stream to nowhere, with what it still holds: Python flushes it at the end, and would exit with 120."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _occupy_closed_streams() -> None:
    """Open descriptors 0 to 2 where they are closed, so that no file of the warehouse gets one of their numbers.

    Python has no stream for a closed one. What is written to stdout then fails, for it is lost; stderr takes all.
    """
    for number, name, mode in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, mode), number)
        setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))
