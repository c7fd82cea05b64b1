"""Read text that users write: decode it, and find the line of each key of a TOML file."""

import codecs
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
TomlPath = tuple[str | int, ...]
"""Keys and positions in lists from the top of a file: `("accounts", 0, "id")`."""
# Windows' Notepad and Excel begin UTF-8 with a mark; PowerShell's `>` and Excel's "Unicode text" write UTF-16.
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TOML_TEXT = re.compile(
    r'"""(?:\\.|(?!""").)*"{3,5}|\'\'\'(?:(?!\'\'\').)*\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.S
)


def decode_text(content: bytes) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark; raises ValueError with the reason.

    Line ends become those of Unix, as in a file that is opened as text.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    if b"\0" in content and encoding != "utf-16":
        raise ValueError("it holds binary data, or text in UTF-16 without a byte order mark: save it in UTF-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not in UTF-8: save it in UTF-8") from error
    if "\0" in text:
        raise ValueError("it holds binary data")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_user_text(file: Path) -> str:
    """Return the text of a file; raises OSError, or ValueError if it is not text."""
    return decode_text(file.read_bytes())


def find_key_lines(text: str) -> dict[TomlPath, int]:
    """Return the line number, from 1, of each section, key and list element of a valid TOML file."""
    masked = _TOML_TEXT.sub(_replace_text, text)
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    lines: dict[TomlPath, int] = {}
    counts: dict[TomlPath, int] = {}
    section: TomlPath = ()
    for begin, end in _split_statements(masked):
        line = bisect_right(starts, begin)
        path = _parse_key_path(text[begin:end], masked[begin:end])
        if masked[begin] == "[":
            section = _resolve_list_positions(path, counts, is_element=masked.startswith("[[", begin))
            lines.setdefault(section, line)
            continue
        for n in range(1, len(path) + 1):
            lines.setdefault((*section, *path[:n]), line)
        for n, at in enumerate(_find_elements(masked, begin, end)):
            lines.setdefault((*section, *path, n), bisect_right(starts, at))
    return lines


def find_nearest_entry(entries: Mapping[TomlPath, T], path: TomlPath) -> T | None:
    """Return the entry of a path, such as its line, or of the nearest section or key that contains it, or None."""
    return next((entries[path[:n]] for n in range(len(path), 0, -1) if path[:n] in entries), None)


def _replace_text(found: re.Match[str]) -> str:
    """Return a placeholder of the same length without brackets or line ends; spaces for a comment."""
    return (" " if found[0].startswith("#") else "_") * len(found[0])


def _split_statements(masked: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each header and each `key = value`, over all lines that its brackets span."""
    depth, begin = 0, 0
    for found in re.finditer(r"[\[{]|[\]}]|\n|\Z", masked):
        char = found[0]
        if char in ("\n", ""):
            if depth == 0:
                if masked[begin : found.start()].strip():
                    yield begin + len(masked[begin:]) - len(masked[begin:].lstrip()), found.start()
                begin = found.end()
        else:
            depth += 1 if char in "[{" else -1


def _parse_key_path(statement: str, masked: str) -> tuple[str, ...]:
    """Return the keys that a header or `a.b = value` names. In `masked`, no string contains a `=`."""
    found: list[str] = []
    is_header = statement.startswith("[")
    import tomllib  # SQL starts faster without it

    values: Any = tomllib.loads(statement if is_header else statement[: masked.index("=")] + "= 0")
    while isinstance(values, dict | list) and values:
        if isinstance(values, list):
            values = values[0]
            continue
        key, values = next(iter(values.items()))
        found.append(key)
    return tuple(found)


def _resolve_list_positions(path: tuple[str, ...], counts: dict[TomlPath, int], *, is_element: bool) -> TomlPath:
    """Return the path of a section, with its positions in the `[[lists]]` that contain it."""
    found: TomlPath = ()
    for n, key in enumerate(path, 1):
        found = (*found, key)
        if is_element and n == len(path):
            counts[found] = counts.get(found, -1) + 1
        if found in counts:
            found = (*found, counts[found])
    return found


def _find_elements(masked: str, begin: int, end: int) -> Iterator[int]:
    """Yield the start of each element of a statement's outermost list; nothing if its value is not a list."""
    value = masked.index("=", begin) + 1
    if not masked[value:end].lstrip().startswith("["):
        return
    depth, is_awaited = 0, False
    for at in range(value, end):
        char = masked[at]
        if depth == 1 and is_awaited and not char.isspace() and char not in "],":
            yield at
            is_awaited = False
        depth += (char in "[{") - (char in "]}")
        is_awaited = is_awaited or (depth == 1 and char in "[,")
