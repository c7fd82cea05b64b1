"""The two streams of a command: results on stdout, everything about the run on stderr; text from AWS made harmless."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from typing import TextIO

from pipelines.errors import SetupError

# An escape sequence as a whole (colours, cursor, titles), then any control character left over, then the characters
# that reorder text, so that what is shown is what is stored.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x80-\x9f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"[\t\n\v\f\r\u0085\u2028\u2029]+")
WIDTH_MIN = 40
"""Narrower terminals are written for as if they had this width."""


class OutputLost(SetupError):
    """What takes our output is full or broken."""


def clean(text: str) -> str:
    """One line without escape sequences, control characters or marks that reorder text; line breaks become a space."""
    return _CONTROL.sub("", _SEQUENCE.sub("", _SPACE.sub(" ", text)))


def say(text: str = "") -> None:
    """Write a line of the result to stdout. A reader that went away (`| head`) is no failure."""
    _write(sys.stdout, text + "\n")


def say_bytes(chunk: bytes) -> None:
    """Write bytes of the result to stdout: the formats that programs read are UTF-8 whatever the terminal's encoding."""
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.flush()
        _guarded(sys.stdout, lambda: sys.stdout.buffer.write(chunk))
    else:  # a stream of text alone, such as a test's
        say(chunk.decode("utf-8").removesuffix("\n"))


def note(text: str = "") -> None:
    """Write a line about the run to stderr."""
    _write(sys.stderr, text + "\n")


def width() -> int:
    """Columns to write for: COLUMNS, else the terminal's, else 80."""
    return max(WIDTH_MIN, shutil.get_terminal_size((80, 24)).columns)


def has_colour(stream: TextIO) -> bool:
    """Whether styles are wanted here: a terminal that knows them, and NO_COLOR unset."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at this stream."""
    return bool(getattr(stream, "isatty", lambda: False)())


def styled(text: str, code: str, stream: TextIO | None = None) -> str:
    """`text` bold (1), dim (2), red (31) ... where the stream shows styles, else as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if has_colour(stream or sys.stdout) else text


def prepare() -> None:
    """Let no character fail: what the terminal cannot show is replaced."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def close() -> None:
    """Flush what is left; a reader that went away is no failure."""
    _guarded(sys.stdout, sys.stdout.flush)


def _write(stream: TextIO, text: str) -> None:
    _guarded(stream, lambda: stream.write(text))
    if stream is sys.stderr:
        _guarded(stream, stream.flush)


def _guarded(stream: TextIO, write: Callable[[], object]) -> None:
    try:
        write()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as error:
        raise OutputLost(f"the output could not be written: {error.strerror}") from error
