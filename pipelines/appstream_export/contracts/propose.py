"""A contract written from AWS's answer: every field a column, every list a table, to be read through by a person."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from appstream_export.contracts.fields import Answer, Field
from appstream_export.contracts.loader import outer_positions, snake
from appstream_export.contracts.model import operational_tables
from appstream_export.contracts.naming import column_names, resource_name, singular_of, table_name
from appstream_export.errors import BadContract

_BORN = re.compile(r"creat(e|ed|ion)_?(time|at|on|date|date_time|timestamp)")


@dataclass(frozen=True, slots=True)
class _Rows:
    """A table to be: where its rows lie, and the fields that become columns, by their path in a row."""

    each: str | None
    columns: dict[str, Field]


def proposal(answer: Answer) -> str:
    """The whole file, as text; raises BadContract where no field could tell items apart."""
    name, singular = _resource(answer)
    tables = [t for t in _tables(answer.item) if t.columns or t.each is None]
    sensitive = {p: f for t in tables for p, f in _sensitive(t).items()}
    items, *children = (_Rows(t.each, {s: f for s, f in t.columns.items() if not f.is_sensitive}) for t in tables)
    key = _key(answer, singular, items.columns)
    names = column_names(items.columns, (), singular)
    taken = {name, f"{singular}_changes", *(t.name for t in operational_tables())}
    parts = [
        _head(answer, name, singular),
        _item_table(answer, name, items, names, key),
        *(_child_table(t, singular, f"{singular}_{names[key]}", taken) for t in children if t.columns),
        _ignored(sensitive),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def column_line(name: str, source: str, field: Field, width: int) -> str:
    """A column as a line of TOML; names are padded to `width`."""
    doc = field.doc or f"{field.name or 'The element'}, as AWS gives it."
    return f'{name:{width}} = {{ from = {_quoted(source)}, type = "{field.kind}", doc = {_quoted(doc)} }}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _resource(answer: Answer) -> tuple[str, str]:
    """The resource's name and its singular."""
    taken = {t.name for t in operational_tables()}
    name = resource_name(answer.items, answer.operation, answer.service, taken)
    return name, singular_of(name)


def _tables(row: Field, each: str | None = None) -> Iterator[_Rows]:
    """The table of a list (or of the items), then those of the lists within its elements."""
    found = dict(_within(row)) if row.kind == "structure" else {".": row}
    yield _Rows(each, {path: field for path, field in found.items() if field.kind != "list"})
    for path, field in found.items():
        if field.kind == "list" and field.element is not None:
            element = replace(field.element, doc=field.element.doc or field.doc)
            yield from _tables(element, f"{each}[].{path}" if each else path)


def _within(structure: Field, path: str = "") -> Iterator[tuple[str, Field]]:
    """Values and lists below a structure. A list of lists counts as a value: JSON."""
    for field in structure.fields:
        here = f"{path}.{field.name}" if path else field.name
        if field.kind == "structure":
            yield from _within(field, here)
        elif field.element is not None and field.element.kind == "list":
            yield here, replace(field, kind="json", element=None)
        else:
            yield here, field


def _sensitive(table: _Rows) -> dict[str, Field]:
    start = f"{table.each}[]" if table.each else ""
    return {
        start + ("" if source == "." else f".{source}" if start else source): field
        for source, field in table.columns.items()
        if field.is_sensitive
    }


def _key(answer: Answer, singular: str, columns: dict[str, Field]) -> str:
    """The path of the field that most likely tells items apart: a name that is always there, an id, an Arn, a name."""
    texts = {source: field for source, field in columns.items() if field.kind == "string"}
    by_name = {snake(source): source for source in texts}
    own = {word: [by_name[n] for n in (word, f"{singular}_{word}") if n in by_name] for word in ("name", "id", "arn")}
    always = [s for s in own["name"] if texts[s].is_required or snake(s) == f"{singular}_name"]
    likely = [s for s in texts if s.lower().endswith(("id", "arn", "name")) and "." not in s]
    guesses = [*always, *own["id"], *own["arn"], *own["name"], *likely, *texts]
    if not guesses:
        raise BadContract(f'operation = "{answer.operation}" gives items without any text that could be their key')
    return guesses[0]


def _head(answer: Answer, name: str, singular: str) -> str:
    doc = f"{answer.service_title}: {name.replace('_', ' ')}, as {answer.operation} lists them."
    command = f"appstream-export contracts propose {answer.service} {answer.operation}"
    return "\n".join(
        (
            f"# Proposed by `{command}` from {answer.model}.",
            f"# Save as schemas/{name}.toml and read it through: docs, key, born and singular are guesses.",
            f"doc       = {_quoted(doc)}",
            f"service   = {_quoted(answer.service)}",
            f"operation = {_quoted(answer.operation)}",
            f"items     = {_quoted(answer.items)}",
            f"singular  = {_quoted(singular)}",
        )
    )


def _item_table(answer: Answer, name: str, rows: _Rows, names: dict[str, str], key: str) -> str:
    what = singular_of(name).replace("_", " ")
    born = next(
        (n for s, n in names.items() if _BORN.fullmatch(snake(s)) and rows.columns[s].kind == "timestamp"), None
    )
    check = f"check: does it tell any two items of {answer.operation} in one account and region apart?"
    lines = [
        f"[{name}]",
        f"doc  = {_quoted(f'One row per {what} in a scope.')}",
        f"key  = [{_quoted(names[key])}]  # {check}",
        *([f"born = {_quoted(born)}"] if born else []),
    ]
    return "\n".join([*lines, *_columns(rows, names)])


def _child_table(rows: _Rows, singular: str, parent_key: str, taken: set[str]) -> str:
    each = rows.each or ""
    name = table_name(each, singular, taken)
    element = singular_of(snake(each.rpartition(".")[2]))
    fixed = (parent_key, *outer_positions(each))
    names = column_names((element if s == "." else s for s in rows.columns), fixed, element)
    if "." in rows.columns:
        names = {".": names[element]}
    doc = f"One row per {element.replace('_', ' ')} of each {singular.replace('_', ' ')}, in AWS's order."
    lines = [f"[{name}]", f"doc  = {_quoted(doc)}", f"each = {_quoted(each)}"]
    return "\n".join([*lines, *_columns(rows, names)])


def _columns(rows: _Rows, names: dict[str, str]) -> Iterator[str]:
    width = max(len(name) for name in names.values())
    for source, field in rows.columns.items():
        yield column_line(names[source], source, field, width)


def _ignored(sensitive: dict[str, Field]) -> str:
    if not sensitive:
        return ""
    why = "AWS marks it as sensitive; make it a column only if it must be exported."
    return "\n".join(["[ignored]", *(f"{_quoted(path)} = {_quoted(why)}" for path in sensitive)])
