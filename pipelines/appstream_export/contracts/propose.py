"""Propose a contract from AWS's model: each field a column, each list a table, for a person to review."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from appstream_export.contracts.fields import Field, OperationOutput
from appstream_export.contracts.iam import IAM_PREFIXES
from appstream_export.contracts.loader import convert_to_snake_case, list_outer_positions
from appstream_export.contracts.model import Contract, build_join_key_name, load_operational_tables
from appstream_export.contracts.naming import (
    choose_column_names,
    choose_resource_name,
    choose_table_name,
    guess_element_name,
    guess_singular,
)
from appstream_export.contracts.paths import MAP, MAP_KEY, MAP_VALUE, join_source_path
from appstream_export.errors import ContractError

_IDENTITY = re.compile(r"^[^.]+(Id|Arn|Name)$")
_CREATED_AT_NAME = re.compile(r"creat(e|ed|ion)_?(time|at|on|date|date_time|timestamp)")


@dataclass(frozen=True, slots=True)
class _ProposedTable:
    """A proposed table: the path of its rows, and its column fields by their path within a row."""

    rows_from: str | None
    columns: dict[str, Field]


def render_proposed_contract(output: OperationOutput, folder: str = "schemas") -> str:
    """Return the contract as text; raises ContractError if no field can identify items."""
    name, item_name = _choose_resource_names(output)
    tables = [t for t in _propose_tables(output.item) if t.columns or t.rows_from is None]
    sensitive = {p: f for t in tables for p, f in _find_sensitive_fields(t).items()}
    needed = {s for s in tables[0].columns if item_name.endswith("association") and _IDENTITY.search(s)}
    items, *children = (
        _ProposedTable(t.rows_from, {s: f for s, f in t.columns.items() if not f.is_sensitive or s in needed})
        for t in tables
    )
    inputs = _build_input_columns(output.calls.parent)
    repeated = {
        s: f for s, f in items.columns.items() if s in output.calls.inputs or convert_to_snake_case(s) in inputs
    }
    repeated = repeated if inputs and len(repeated) < len(items.columns) else {}
    items = _ProposedTable(None, {s: f for s, f in items.columns.items() if s not in repeated})
    names = _choose_item_column_names(output, item_name, items.columns, {*inputs, build_join_key_name(item_name)})
    keys = [*inputs, *(names[path] for path in _guess_key_paths(output, item_name, items.columns))]
    used_names = {name, f"{item_name}_changes", *(t.name for t in load_operational_tables())}
    parts = [
        _render_header(output, name, item_name, folder),
        _render_item_table(output, name, items, names, keys),
        *(
            _render_child_table(t, item_name, [f"{item_name}_{key}" for key in keys], used_names)
            for t in children
            if t.columns
        ),
        _render_ignored_table(sensitive.keys() - needed, repeated),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_column_line(name: str, source: str, field: Field, width: int) -> str:
    """Return a column as a line of TOML, its name padded to `width`."""
    doc = field.doc or f"{field.name or 'The element'}, as AWS gives it."
    quoted_source, quoted_doc = _quote_toml_string(source), _quote_toml_string(doc)
    return f'{name:{width}} = {{ from = {quoted_source}, type = "{field.kind}", doc = {quoted_doc} }}'


def _quote_toml_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _choose_resource_names(output: OperationOutput) -> tuple[str, str]:
    """Return the names of the resource and of one item."""
    used_names = {t.name for t in load_operational_tables()}
    parent = output.calls.parent
    owner = parent.item_name if parent else ""
    name = choose_resource_name(output.items, output.operation, output.service, used_names, owner)
    return name, guess_singular(name)


def _propose_tables(row: Field, rows_from: str | None = None) -> Iterator[_ProposedTable]:
    """Yield the table of a list (or of the items), then the tables of lists within its elements."""
    found = dict(_walk_structure_fields(row)) if row.kind == "structure" else {".": row}
    yield _ProposedTable(rows_from, {path: field for path, field in found.items() if field.kind != "list"})
    for path, field in found.items():
        if field.kind == "list" and field.element is not None:
            element = replace(field.element, doc=field.element.doc or field.doc)
            yield from _propose_tables(element, join_source_path(rows_from, path))


def _walk_structure_fields(structure: Field, path: str = "") -> Iterator[tuple[str, Field]]:
    """Return the values and the lists below a structure. A list of lists is a value of type JSON."""
    for field in structure.fields:
        field_path = f"{path}.{field.name}" if path else field.name
        if field.kind == "structure":
            yield from _walk_structure_fields(field, field_path)
        elif field.element is not None and field.element.kind == "list":
            yield field_path, replace(field, kind="json", element=None)
        else:
            yield field_path, field


def _find_sensitive_fields(table: _ProposedTable) -> dict[str, Field]:
    return {
        join_source_path(table.rows_from, source): field
        for source, field in table.columns.items()
        if field.is_sensitive
    }


def _choose_item_column_names(
    output: OperationOutput, item_name: str, columns: Mapping[str, Field], inputs: Collection[str]
) -> dict[str, str]:
    """Return the name of each column of the item table by its path; texts and rows of a map are named after it."""
    names = choose_column_names(columns, inputs, item_name)
    element = guess_element_name(output.items)
    named = {".": element}
    if MAP in output.items:
        named |= {part: f"{element}_{part}" for part in (MAP_KEY, MAP_VALUE)}
    for path, name in named.items():
        if path in names:
            others = (*inputs, *(own for key, own in names.items() if key != path))
            names[path] = choose_column_names([name], others, item_name)[name]
    return names


def _build_input_columns(parent: Contract | None) -> dict[str, str]:
    """Return the columns that repeat the key of the parent's row, with its column: `stack_name` with `name`."""
    if parent is None:
        return {}
    own = parent.item_table.input_columns
    names = {k if k in own or k.startswith(parent.item_name) else f"{parent.item_name}_{k}": k for k in parent.item_key}
    return names


def _guess_key_paths(output: OperationOutput, item_name: str, columns: dict[str, Field]) -> list[str]:
    """Return the paths of the fields that identify items: all names and ids of an association, else one."""
    ends = [s for s, f in columns.items() if f.kind == "string" and _IDENTITY.search(s)]
    if item_name.endswith("association") and len(ends) > 1:
        return ends
    if MAP in output.items and MAP_KEY in columns:
        return [MAP_KEY]
    return [_guess_key_path(output, item_name, columns)]


def _guess_key_path(output: OperationOutput, item_name: str, columns: dict[str, Field]) -> str:
    """Return the path of the field that most likely identifies items: a required id, an id, a name, an Arn.

    Ids come before names, because services allow two items of one name. The item's own name, or a required one, comes
    before an Arn, because people know items by name.
    """
    texts = {source: field for source, field in columns.items() if field.kind == "string"}
    by_name = {convert_to_snake_case(source): source for source in texts}
    own_fields = {
        word: [by_name[n] for n in (word, f"{item_name}_{word}") if n in by_name] for word in ("name", "id", "arn")
    }
    always = [s for s in own_fields["name"] if texts[s].is_required or convert_to_snake_case(s) == f"{item_name}_name"]
    ids = sorted(own_fields["id"], key=lambda source: not texts[source].is_required)
    likely = [s for s in texts if s.lower().endswith(("id", "arn", "name")) and "." not in s]
    guesses = [*ids, *always, *own_fields["arn"], *own_fields["name"], *likely, *texts]
    if not guesses:
        raise ContractError(f'operation = "{output.operation}" gives items without any text that could be their key')
    return guesses[0]


def _render_header(output: OperationOutput, name: str, item_name: str, folder: str) -> str:
    doc = f"{output.service_title}: {name.replace('_', ' ')}, as {output.operation} lists them."
    command = f"appstream-export contracts propose {output.service} {output.operation}"
    return "\n".join(
        (
            f"# Proposed by `{command}` from {output.model}.",
            f"# Save as {folder}/{name}.toml and read it through: docs, key and names are guesses.",
            f"doc       = {_quote_toml_string(doc)}",
            f"service   = {_quote_toml_string(output.service)}",
            f"operation = {_quote_toml_string(output.operation)}",
            f"items     = {_quote_toml_string(output.items)}",
            f"item_name = {_quote_toml_string(item_name)}",
            *_render_call_lines(output),
        )
    )


def _render_call_lines(output: OperationOutput) -> Iterator[str]:
    calls = output.calls
    if prefix := IAM_PREFIXES.get(output.service):
        yield f"action    = {_quote_toml_string(f'{prefix}:{output.operation}')}"
    if calls.parent:
        yield f'per       = "{calls.parent.name}"{_render_remark(calls.remarks.get("per"))}'
    if calls.inputs:
        inputs = ", ".join(f"{name} = {_quote_toml_string(value)}" for name, value in calls.inputs.items())
        yield f"with      = {{ {inputs} }}{_render_remark(calls.remarks.get('with'))}"


def _render_remark(remark: str | None) -> str:
    return f"  # {remark}" if remark else ""


def _render_item_table(
    output: OperationOutput, name: str, table: _ProposedTable, names: dict[str, str], keys: list[str]
) -> str:
    what = guess_singular(name).replace("_", " ")
    created_at_column = next(
        (
            n
            for s, n in names.items()
            if _CREATED_AT_NAME.fullmatch(convert_to_snake_case(s)) and table.columns[s].kind == "timestamp"
        ),
        None,
    )
    check = f"check that it is unique among the items of {output.operation} in one account and region"
    lines = [
        f"[{name}]",
        f"doc  = {_quote_toml_string(f'One row per {what} in a scope.')}",
        f"key  = [{', '.join(map(_quote_toml_string, keys))}]  # {check}",
        *([f"created_at_column = {_quote_toml_string(created_at_column)}"] if created_at_column else []),
    ]
    parent = output.calls.parent
    title = parent.item_name.replace("_", " ") if parent else ""
    lines += [
        f'{own} = {{ from = "{{{column}}}", type = "string", doc = "The {title}: its {column}." }}'
        for own, column in _build_input_columns(parent).items()
    ]
    return "\n".join([*lines, *_render_column_lines(table, names)])


def _render_child_table(table: _ProposedTable, item_name: str, parent_key: list[str], used_names: set[str]) -> str:
    rows_from = table.rows_from or ""
    name = choose_table_name(rows_from, item_name, used_names)
    element = guess_element_name(rows_from)
    fixed = (*parent_key, build_join_key_name(item_name), *list_outer_positions(rows_from))
    names = choose_column_names((element if s == "." else s for s in table.columns), fixed, element)
    if "." in table.columns:
        names = {".": names[element]}
    doc = f"One row per {element.replace('_', ' ')} of each {item_name.replace('_', ' ')}, in AWS's order."
    lines = [f"[{name}]", f"doc       = {_quote_toml_string(doc)}", f"rows_from = {_quote_toml_string(rows_from)}"]
    return "\n".join([*lines, *_render_column_lines(table, names)])


def _render_column_lines(table: _ProposedTable, names: dict[str, str]) -> Iterator[str]:
    width = max(len(name) for name in names.values())
    for source, field in table.columns.items():
        yield render_column_line(names[source], source, field, width)


def _render_ignored_table(sensitive: Iterable[str], repeated: Iterable[str]) -> str:
    why = "AWS marks it as sensitive; make it a column only if it must be exported."
    reasons = dict.fromkeys(sorted(sensitive), why) | dict.fromkeys(repeated, "A column of the parent's row has it.")
    lines = (f"{_quote_toml_string(path)} = {_quote_toml_string(reason)}" for path, reason in reasons.items())
    return "\n".join(["[ignored]", *lines]) if reasons else ""
