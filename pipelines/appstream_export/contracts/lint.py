"""Compare a contract with AWS's answer: unread fields, columns without a field, and types that differ."""

from collections.abc import Iterator

from appstream_export.contracts.fields import Field, NoSuchField, resolve_field, resolve_row_field, walk_leaf_fields
from appstream_export.contracts.model import Column, Contract, Table
from appstream_export.contracts.naming import choose_column_names, guess_element_name
from appstream_export.contracts.paths import MAP, find_rows_path, get_path_in_row
from appstream_export.contracts.propose import render_column_line


def find_field_problems(contract: Contract, item: Field, model: str) -> Iterator[str]:
    """Return a line per finding, with table, column and fix; `model` names the model that was read."""
    for table in contract.tables:
        yield from _find_column_problems(table, item)
    yield from _find_ignored_problems(contract, item, model)
    yield from _find_unmapped_fields(contract, item, model)


def _find_column_problems(table: Table, item: Field) -> Iterator[str]:
    try:
        row = resolve_row_field(item, table.rows_from)
    except NoSuchField as error:
        yield f'[{table.name}]: rows_from = "{table.rows_from}": {_suggest_list_marker(error)}'
        return
    for column in table.answer_columns:
        problem = _check_column(column, row)
        if problem:
            yield f'[{table.name}] {column.name}: from = "{column.source}": {problem}'


def _suggest_list_marker(error: NoSuchField) -> str:
    """Return the problem of a path in `rows_from`, and suggest `[]` where it passes through a list."""
    path = error.message.removesuffix(" is a list")
    return str(error) if path == error.message else f"{path} is a list on the way; write {path}[]"


def _check_column(column: Column, row: Field) -> str | None:
    try:
        field = resolve_field(row, column.source)
    except NoSuchField as error:
        return str(error)
    if column.type in ("json", field.kind):
        return None
    if field.kind == "list":
        return f'it is a list; its elements are rows of a table with rows_from = "{column.source}"'
    if field.kind == "structure":
        below = ", ".join(child.name for child in field.fields)
        return f"it is a structure; read a field of it ({below}) or take type json"
    return f'type is {column.type}, but AWS gives {field.aws_type}; write type = "{field.kind}"'


def _map_column_paths(contract: Contract) -> dict[str, str]:
    """Return the table and column that read each path."""
    return {
        table.build_source_path(column): f"[{table.name}] {column.name}"
        for table in contract.tables
        for column in table.answer_columns
    }


def _find_ignored_problems(contract: Contract, item: Field, model: str) -> Iterator[str]:
    for path in contract.ignored:
        try:
            resolve_field(item, path)
        except NoSuchField as error:
            yield f'[ignored] "{path}": {error}; {model} does not have it: correct it or take the line out'
        for column_path, where in _map_column_paths(contract).items():
            if _is_path_prefix(path, column_path) or _is_path_prefix(column_path, path):
                yield f'[ignored] "{path}": {where} reads it; take one of the two out'


def _find_unmapped_fields(contract: Contract, item: Field, model: str) -> Iterator[str]:
    known = [*_map_column_paths(contract), *contract.ignored]
    for path, field in _walk_readable_fields(contract, item):
        if field.is_sensitive or any(_is_path_prefix(k, path) for k in known):  # sensitive ones are ignored by default
            continue
        ignore = f'or put "{path}" = "<why>" under [ignored]'
        yield (
            f"{_format_table_place(contract, path)}: {model} has {path} ({field.aws_type}), which no column reads; "
            f"add: {_suggest_column_line(contract, path, field)} {ignore}"
        )


def _walk_readable_fields(contract: Contract, item: Field) -> Iterator[tuple[str, Field]]:
    """Yield every value below an item with its path; the key and the value of each map that is a table."""
    opened = {table.rows_from for table in contract.tables}
    for path, field in walk_leaf_fields(item):
        if field.entry and f"{path}{MAP}" in opened:
            yield from walk_leaf_fields(field.entry, f"{path}{MAP}")
        else:
            yield path or ".", field


def _is_path_prefix(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith((f"{prefix}.", f"{prefix}[]", f"{prefix}{MAP}"))


def _format_table_place(contract: Contract, path: str) -> str:
    table = _find_table_for_path(contract, path)
    if table:
        return f"[{table.name}]"
    return f'a new table with rows_from = "{find_rows_path(path)}"'


def _suggest_column_line(contract: Contract, path: str, field: Field) -> str:
    table = _find_table_for_path(contract, path)
    used_names = {c.name for c in table.columns} if table else set(contract.parent_key)
    source = get_path_in_row(path)
    name_source = source if source != "." else guess_element_name(path.removesuffix("[]"))
    name = choose_column_names([name_source], used_names, contract.item_name)[name_source]
    return render_column_line(name, source, field, 0)


def _find_table_for_path(contract: Contract, path: str) -> Table | None:
    return next((t for t in contract.tables if t.rows_from == find_rows_path(path)), None)
