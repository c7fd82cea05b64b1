"""A contract written from AWS's answer: every field a column, every list a table, to be read through by a person."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from appstream_export.contracts.fields import Field, OperationOutput
from appstream_export.contracts.loader import convert_to_snake_case, list_outer_positions
from appstream_export.contracts.model import load_operational_tables
from appstream_export.contracts.naming import (
    choose_column_names,
    choose_resource_name,
    choose_table_name,
    guess_singular,
)
from appstream_export.errors import ContractError

_CREATED_AT_NAME = re.compile(r"creat(e|ed|ion)_?(time|at|on|date|date_time|timestamp)")


@dataclass(frozen=True, slots=True)
class _ProposedTable:
    """A table to be: where its rows lie, and the fields that become columns, by their path in a row."""

    rows_from: str | None
    columns: dict[str, Field]


def render_proposed_contract(answer: OperationOutput) -> str:
    """The whole file, as text; raises ContractError where no field could tell items apart."""
    name, singular = _choose_resource_names(answer)
    tables = [t for t in _propose_tables(answer.item) if t.columns or t.rows_from is None]
    sensitive = {p: f for t in tables for p, f in _find_sensitive_fields(t).items()}
    items, *children = (
        _ProposedTable(t.rows_from, {s: f for s, f in t.columns.items() if not f.is_sensitive}) for t in tables
    )
    key = _guess_key_path(answer, singular, items.columns)
    names = choose_column_names(items.columns, (), singular)
    taken = {name, f"{singular}_changes", *(t.name for t in load_operational_tables())}
    parts = [
        _render_header(answer, name, singular),
        _render_item_table(answer, name, items, names, key),
        *(_render_child_table(t, singular, f"{singular}_{names[key]}", taken) for t in children if t.columns),
        _render_ignored_table(sensitive),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_column_line(name: str, source: str, field: Field, width: int) -> str:
    """A column as a line of TOML; names are padded to `width`."""
    doc = field.doc or f"{field.name or 'The element'}, as AWS gives it."
    quoted_source, quoted_doc = _quote_toml_string(source), _quote_toml_string(doc)
    return f'{name:{width}} = {{ from = {quoted_source}, type = "{field.kind}", doc = {quoted_doc} }}'


def _quote_toml_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _choose_resource_names(answer: OperationOutput) -> tuple[str, str]:
    """The resource's name and its singular."""
    taken = {t.name for t in load_operational_tables()}
    name = choose_resource_name(answer.items, answer.operation, answer.service, taken)
    return name, guess_singular(name)


def _propose_tables(row: Field, each: str | None = None) -> Iterator[_ProposedTable]:
    """The table of a list (or of the items), then those of the lists within its elements."""
    found = dict(_walk_structure_fields(row)) if row.kind == "structure" else {".": row}
    yield _ProposedTable(each, {path: field for path, field in found.items() if field.kind != "list"})
    for path, field in found.items():
        if field.kind == "list" and field.element is not None:
            element = replace(field.element, doc=field.element.doc or field.doc)
            yield from _propose_tables(element, f"{each}[].{path}" if each else path)


def _walk_structure_fields(structure: Field, path: str = "") -> Iterator[tuple[str, Field]]:
    """Values and lists below a structure. A list of lists counts as a value: JSON."""
    for field in structure.fields:
        here = f"{path}.{field.name}" if path else field.name
        if field.kind == "structure":
            yield from _walk_structure_fields(field, here)
        elif field.element is not None and field.element.kind == "list":
            yield here, replace(field, kind="json", element=None)
        else:
            yield here, field


def _find_sensitive_fields(table: _ProposedTable) -> dict[str, Field]:
    start = f"{table.rows_from}[]" if table.rows_from else ""
    return {
        start + ("" if source == "." else f".{source}" if start else source): field
        for source, field in table.columns.items()
        if field.is_sensitive
    }


def _guess_key_path(answer: OperationOutput, singular: str, columns: dict[str, Field]) -> str:
    """The path of the field that most likely tells items apart: a name that is always there, an id, an Arn, a name."""
    texts = {source: field for source, field in columns.items() if field.kind == "string"}
    by_name = {convert_to_snake_case(source): source for source in texts}
    own = {word: [by_name[n] for n in (word, f"{singular}_{word}") if n in by_name] for word in ("name", "id", "arn")}
    always = [s for s in own["name"] if texts[s].is_required or convert_to_snake_case(s) == f"{singular}_name"]
    likely = [s for s in texts if s.lower().endswith(("id", "arn", "name")) and "." not in s]
    guesses = [*always, *own["id"], *own["arn"], *own["name"], *likely, *texts]
    if not guesses:
        raise ContractError(f'operation = "{answer.operation}" gives items without any text that could be their key')
    return guesses[0]


def _render_header(answer: OperationOutput, name: str, singular: str) -> str:
    doc = f"{answer.service_title}: {name.replace('_', ' ')}, as {answer.operation} lists them."
    command = f"appstream-export contracts propose {answer.service} {answer.operation}"
    return "\n".join(
        (
            f"# Proposed by `{command}` from {answer.model}.",
            f"# Save as schemas/{name}.toml and read it through: docs, key, born and singular are guesses.",
            f"doc       = {_quote_toml_string(doc)}",
            f"service   = {_quote_toml_string(answer.service)}",
            f"operation = {_quote_toml_string(answer.operation)}",
            f"items     = {_quote_toml_string(answer.items)}",
            f"item_name = {_quote_toml_string(singular)}",
        )
    )


def _render_item_table(
    answer: OperationOutput, name: str, table: _ProposedTable, names: dict[str, str], key: str
) -> str:
    what = guess_singular(name).replace("_", " ")
    born = next(
        (
            n
            for s, n in names.items()
            if _CREATED_AT_NAME.fullmatch(convert_to_snake_case(s)) and table.columns[s].kind == "timestamp"
        ),
        None,
    )
    check = f"check: does it tell any two items of {answer.operation} in one account and region apart?"
    lines = [
        f"[{name}]",
        f"doc  = {_quote_toml_string(f'One row per {what} in a scope.')}",
        f"key  = [{_quote_toml_string(names[key])}]  # {check}",
        *([f"created_at_column = {_quote_toml_string(born)}"] if born else []),
    ]
    return "\n".join([*lines, *_render_column_lines(table, names)])


def _render_child_table(table: _ProposedTable, singular: str, parent_key: str, used_names: set[str]) -> str:
    each = table.rows_from or ""
    name = choose_table_name(each, singular, used_names)
    element = guess_singular(convert_to_snake_case(each.rpartition(".")[2]))
    fixed = (parent_key, *list_outer_positions(each))
    names = choose_column_names((element if s == "." else s for s in table.columns), fixed, element)
    if "." in table.columns:
        names = {".": names[element]}
    doc = f"One row per {element.replace('_', ' ')} of each {singular.replace('_', ' ')}, in AWS's order."
    lines = [f"[{name}]", f"doc       = {_quote_toml_string(doc)}", f"rows_from = {_quote_toml_string(each)}"]
    return "\n".join([*lines, *_render_column_lines(table, names)])


def _render_column_lines(table: _ProposedTable, names: dict[str, str]) -> Iterator[str]:
    width = max(len(name) for name in names.values())
    for source, field in table.columns.items():
        yield render_column_line(names[source], source, field, width)


def _render_ignored_table(sensitive: dict[str, Field]) -> str:
    if not sensitive:
        return ""
    why = "AWS marks it as sensitive; make it a column only if it must be exported."
    return "\n".join(["[ignored]", *(f"{_quote_toml_string(path)} = {_quote_toml_string(why)}" for path in sensitive)])
