"""Paths in AWS's answers: dots lead into structures, `[]` into the elements of a list, `{}` into the rows of a map."""

import re

MAP = "{}"
LIST = "[]"
MAP_KEY, MAP_VALUE = "key", "value"
"""The fields of a row of a map."""
ITEM_VALUE = "value"
"""The field of an item that is a text and not a structure; contracts read it from `.`."""
_LAST_ROWS = re.compile(r"(?P<list>.*)\[\]|(?P<map>.*\{\})")


def split_path_steps(path: str) -> list[str]:
    """Return the steps of a path: `Groups[].Tags{}.key` is Groups, [], Tags, {}, key. `.` has none."""
    return [step for step in path.replace(LIST, f".{LIST}").replace(MAP, f".{MAP}").split(".") if step]


def open_rows_path(rows_from: str) -> str:
    """Return the path of a row: `Subnets` becomes `Subnets[]`, and `Tags{}` is one already."""
    return rows_from if rows_from.endswith(MAP) else f"{rows_from}{LIST}"


def find_rows_path(path: str) -> str | None:
    """Return the innermost list or map that a path passes through, as `rows_from`; None if there is none."""
    found = _LAST_ROWS.match(path)
    return (found["list"] or found["map"] or None) if found else None


def get_path_in_row(path: str) -> str:
    """Return the part of a path behind its innermost list or map; `.` if it ends there."""
    return re.split(r"\[\]|\{\}", path)[-1].lstrip(".") or "."


def join_source_path(rows_from: str | None, source: str) -> str:
    """Return the path of `source` in a row of `rows_from`; without a list or map, return `source`."""
    if rows_from is None:
        return source
    return open_rows_path(rows_from) if source == "." else f"{open_rows_path(rows_from)}.{source}"


def convert_item_source(source: str) -> str:
    """Return the path of a column's value in an item as it is normalized: `.` is the field of a text."""
    return ITEM_VALUE if source == "." else source
