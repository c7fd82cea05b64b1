"""The two streams of a command: results on stdout, everything about the run on stderr; text from AWS made harmless."""

import io
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
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
    """What takes our output is full or broken."""


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
    """Write a line about the run to stderr."""
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
    """Let no character fail: what the terminal cannot show is replaced."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Let everything said be seen now; a reader that went away is no failure."""
    _guard_write(sys.stdout, sys.stdout.flush)


def _write_text(stream: TextIO, text: str) -> None:
    _guard_write(stream, lambda: stream.write(text))
    if stream is sys.stderr:
        _guard_write(stream, stream.flush)


def _guard_write(stream: TextIO, write: Callable[[], object]) -> None:
    try:
        write()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:
        raise OutputError(f"the output could not be written: {error.strerror}") from error
