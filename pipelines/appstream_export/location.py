"""Validate locations as users write them: a folder, or `s3://bucket/prefix`, and nothing like another URL.

Without this check `gs://bucket/x` is a valid name of a local folder, and the export would commit there unnoticed.
"""

import re
from pathlib import Path

from appstream_export.errors import SettingsError

S3_SCHEME = "s3://"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(/*)")
_VARIABLE = re.compile(r"\$(\w+|\{)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLACES = "name a folder, or a bucket as s3://bucket/prefix"


def validate_location(text: str) -> None:
    """Raise SettingsError unless the text names a folder, or a bucket as `s3://bucket/prefix`."""
    where = f'warehouse "{text}"' if not text.strip() else f"warehouse {text}"
    if not text or text != text.strip() or _CONTROL.search(text):
        raise SettingsError(f"{where}: empty, or with blanks around it or line breaks in it", fix=_PLACES)
    if "\\" in text:
        raise SettingsError(f"{where}: a backslash in a path cannot be read by DuckDB", fix="write / between folders")
    if found := _SCHEME.match(text):
        _validate_scheme(text, found[1], found[2], where)
    if _VARIABLE.search(text):
        fix = "write the path in full, or begin it with ~"
        raise SettingsError(f"{where}: variables are not replaced by their values here", fix=fix)
    expand_user(text)


def expand_user(text: str) -> Path:
    """Return the path with ~ replaced by the home folder; raises SettingsError if there is no home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"{text}: there is no such home folder", fix="write the path in full") from error


def _validate_scheme(text: str, scheme: str, slashes: str, where: str) -> None:
    """Raise SettingsError for another kind of URL, or a misspelled `s3://`."""
    if text.startswith(S3_SCHEME):
        return
    rest = text[len(scheme) + 1 :].lstrip("/")
    if scheme.lower() in ("s3", "s3a", "s3n"):
        raise SettingsError(f"{where}: no bucket is written like this", fix=f'did you mean "{S3_SCHEME}{rest}"?')
    if scheme.lower() == "file" and slashes:
        raise SettingsError(f"{where}: a folder is written without file:", fix=f'did you mean "/{rest}"?')
    if slashes:
        raise SettingsError(f"{where}: {scheme}:{slashes} is not supported", fix=_PLACES)
