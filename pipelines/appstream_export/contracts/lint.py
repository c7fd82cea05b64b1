"""A contract held against AWS's answer: fields that no column reads, columns that nothing fills, types that differ."""

from collections.abc import Iterator

from appstream_export.contracts.fields import Field, NoSuchField, follow, leaves, rows_of
from appstream_export.contracts.loader import snake
from appstream_export.contracts.model import Column, Contract, Table
from appstream_export.contracts.naming import column_names, singular_of
from appstream_export.contracts.propose import column_line


def findings(contract: Contract, item: Field, model: str) -> Iterator[str]:
    """One line per finding, with table, column and fix; `model` names what the item was read from."""
    for table in contract.tables:
        yield from _wrong_columns(table, item)
    yield from _wrong_ignored(contract, item, model)
    yield from _unmapped(contract, item, model)


def _wrong_columns(table: Table, item: Field) -> Iterator[str]:
    try:
        row = rows_of(item, table.each)
    except NoSuchField as error:
        yield f'[{table.name}]: each = "{table.each}": {_in_each(str(error))}'
        return
    for column in table.own:
        problem = _wrong_column(column, row)
        if problem:
            yield f'[{table.name}] {column.name}: from = "{column.source}": {problem}'


def _in_each(problem: str) -> str:
    """Within `each`, a list on the way is entered by `[]`."""
    path, is_list, _ = problem.partition(" is a list; ")
    return f"{path} is a list on the way; write {path}[]" if is_list else problem


def _wrong_column(column: Column, row: Field) -> str | None:
    try:
        field = follow(row, column.source)
    except NoSuchField as error:
        return str(error)
    if column.type in ("json", field.kind):
        return None
    if field.kind == "list":
        return f'it is a list; its elements are rows of a table with each = "{column.source}"'
    if field.kind == "structure":
        below = ", ".join(child.name for child in field.fields)
        return f"it is a structure; read a field of it ({below}) or take type json"
    return f'type is {column.type}, but AWS gives {field.aws_type}; write type = "{field.kind}"'


def _paths(contract: Contract) -> dict[str, str]:
    """Each path that a column reads, and where that stands."""
    return {_path(table, column): f"[{table.name}] {column.name}" for table in contract.tables for column in table.own}


def _path(table: Table, column: Column) -> str:
    start = f"{table.each}[]" if table.each else ""
    return start + ("" if column.source == "." else f".{column.source}" if start else column.source)


def _wrong_ignored(contract: Contract, item: Field, model: str) -> Iterator[str]:
    for path in contract.ignored:
        try:
            follow(item, path)
        except NoSuchField as error:
            yield f'[ignored] "{path}": {error}; {model} does not have it: correct it or take the line out'
        for read, where in _paths(contract).items():
            if _covers(path, read) or _covers(read, path):
                yield f'[ignored] "{path}": {where} reads it; take one of the two out'


def _unmapped(contract: Contract, item: Field, model: str) -> Iterator[str]:
    known = [*_paths(contract), *contract.ignored]
    for path, field in leaves(item):
        if any(_covers(k, path) for k in known):
            continue
        ignore = f'or put "{path}" = "<why>" under [ignored]'
        yield f"{_place(contract, path)}: {model} has {path} ({field.aws_type}), which no column reads; " + (
            f"add: {_line(contract, path, field)} {ignore}"
        )


def _covers(above: str, path: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}[]"))


def _place(contract: Contract, path: str) -> str:
    table = _table_of(contract, path)
    if table:
        return f"[{table.name}]"
    return f'a new table with each = "{_each(path)}"'


def _line(contract: Contract, path: str, field: Field) -> str:
    table = _table_of(contract, path)
    taken = {c.name for c in table.columns} if table else set(contract.parent_key)
    source = path.rpartition("[]")[2].lstrip(".") or "."
    named = source if source != "." else singular_of(snake(path.removesuffix("[]").rpartition(".")[2]))
    name = column_names([named], taken, contract.singular)[named]
    return column_line(name, source, field, 0)


def _table_of(contract: Contract, path: str) -> Table | None:
    return next((t for t in contract.tables if t.each == _each(path)), None)


def _each(path: str) -> str | None:
    return path.rpartition("[]")[0] or None
