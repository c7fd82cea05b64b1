"""Files that a user names for a result: complete, or as they were before."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from appstream_export.cli import console
from appstream_export.cli.options import UsageError
from appstream_export.errors import SettingsError

FORMATS_BY_SUFFIX: Mapping[str, str] = {
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".md": "md",
    ".parquet": "parquet",
    ".txt": "table",
}


def choose_format(named: str | None, file: Path | None) -> str:
    """Return the format that a flag names, else that of the file's suffix, else `table`; raises UsageError."""
    if named or file is None:
        return named or "table"
    if (kind := FORMATS_BY_SUFFIX.get(file.suffix.lower())) is None:
        raise UsageError(f'{file}: no format has the suffix "{file.suffix}"', fix="name the format too: --format KIND")
    return kind


@contextmanager
def redirect_result(file: Path | None) -> Generator[None]:
    """Write the result that the block prints to a file instead of stdout; None changes nothing."""
    if file is None:
        yield
        return
    try:
        with open_output_file(file) as stream, redirect_stdout(stream):
            yield
            console.flush_output()
    except console.OutputError as error:
        raise SettingsError(f"{file}: {error}", fix="name a file that can be written: -o FILE") from error


@contextmanager
def open_output_file(file: Path) -> Generator[TextIO]:
    """Open a file that a user named; it is replaced when the block ends without an error. Raises SettingsError."""
    place = file.resolve()  # a symbolic link keeps pointing to the file
    # A pipe or /dev/null must not be replaced.
    is_special = place.exists() and not place.is_file()
    draft = place if is_special else place.with_name(f".{place.name}.{os.getpid()}.tmp")
    with _translate_file_errors(file):
        mode = "w" if is_special else "x"
        stream = draft.open(mode, encoding="utf-8", newline="", errors="backslashreplace")
    try:
        with stream:
            yield stream
            with _translate_file_errors(file):
                stream.flush()
                if not is_special:
                    os.fsync(stream.fileno())
                    draft.replace(place)
    finally:
        if not is_special:
            with suppress(OSError):
                draft.unlink()


@contextmanager
def _translate_file_errors(file: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}", fix="name a file that can be written: -o FILE") from error
