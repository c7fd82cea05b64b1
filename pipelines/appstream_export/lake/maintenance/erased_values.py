"""Text values of the rows that an erase removes, and the search for examples of drift in rows of other accounts."""

import json
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

VALUE_CHARS_MIN = 8  # shorter ones, such as a region or a state, may be in any file
_JSON_BEGINS = pa.array(["{", "[", '"'])


def collect_texts(rows: pa.Table) -> set[str]:
    """Return the texts of at least 8 characters: cells, and texts at any depth of cells with JSON."""
    found: set[str] = set()
    for cells in _iterate_text_columns(rows):
        found.update(text for cell in cells.to_pylist() for text in _list_texts(cell))
    return found


def collect_held_examples(rows: pa.Table, examples: Collection[str]) -> set[str]:
    """Return the examples of `drift` that the rows contain: as a cell, or as a value at any depth of a cell's JSON."""
    encoded = {example: _encode(value) for example in examples if (value := _parse_json(example)) is not _NO_JSON}
    chosen, found = pa.array(list(examples), pa.string()), set[str]()
    for cells in _iterate_text_columns(rows):
        found.update(cells.filter(pc.is_in(cells, chosen)).to_pylist())
        held = {_encode(value) for cell in _select_json(cells) for value in _list_values(_parse_json(cell))}
        found.update(example for example, text in encoded.items() if text in held)
    return found


_NO_JSON = object()


def _iterate_text_columns(rows: pa.Table) -> Iterator[pa.Array]:
    """Yield the distinct values of each text column, without nulls."""
    for column in rows.columns:
        if pa.types.is_string(column.type):
            yield pc.drop_null(pc.unique(column))


def _select_json(cells: pa.Array) -> list[str]:
    return cells.filter(pc.is_in(pc.utf8_slice_codeunits(cells, 0, 1), _JSON_BEGINS)).to_pylist()


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NO_JSON


def _encode(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _list_texts(cell: str) -> Iterator[str]:
    """Yield the cell, or the texts of its JSON, with keys that are no plain names, such as an e-mail address."""
    value = _parse_json(cell) if cell.startswith(("{", "[", '"')) else _NO_JSON
    if value is _NO_JSON:
        if len(cell) >= VALUE_CHARS_MIN:
            yield cell
        return
    for inner in _list_values(value):
        texts = (
            [inner]
            if isinstance(inner, str)
            else [k for k in inner if not k.isidentifier()]
            if isinstance(inner, dict)
            else []
        )
        for text in texts:
            yield from _list_texts(text)


def _list_values(value: Any) -> Iterator[Any]:
    """Yield a value and all values inside it."""
    waiting = [] if value is _NO_JSON else [value]
    while waiting:
        at = waiting.pop()
        yield at
        if isinstance(at, dict | list):
            waiting.extend(at.values() if isinstance(at, dict) else at)
