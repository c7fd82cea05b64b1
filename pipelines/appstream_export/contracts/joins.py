"""Joins between tables: lines of SQL for `describe` and the dictionary, and the dictionary's pictures (Mermaid)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from appstream_export.contracts.loader import list_outer_positions
from appstream_export.contracts.model import Contract, Table, load_operational_tables
from appstream_export.contracts.sql_files import SqlFile

_ACCOUNT_ID = "account_id"
_ACCOUNTS, _SCOPE_RUNS = "accounts", "scope_runs"


@dataclass(frozen=True, slots=True)
class Join:
    """A join of many rows of `table` (`is_single`: at most one) with one row of `related`, by columns of one name."""

    table: str
    related: str
    columns: tuple[str, ...]
    is_single: bool = False
    condition: str = ""
    """What `related` needs besides equal columns, such as `scope_runs.resource = 'image_builders'`."""

    def render_for(self, table: str) -> str:
        """Return SQL that joins one of the two tables with the other."""
        other = self.related if table == self.table else self.table
        condition = f" where {self.condition}" if self.condition else ""
        return f"select * from {table} join {other} using ({', '.join(self.columns)}){condition};"  # noqa: S608, SQL to be read


def list_joins(contracts: Sequence[Contract], views: Sequence[SqlFile]) -> list[Join]:
    """Return the joins of all tables and views: with their item by its key, with their account and their task."""
    items = {contract.join_key_name: contract.item_table.name for contract in contracts}
    found = [join for contract in contracts for join in _list_item_joins(contract, items, views)]
    return [*found, *_list_export_joins(views)]


def render_related_joins(name: str, joins: Sequence[Join]) -> str:
    """Return a line of SQL for each join of a table or view; empty if it has none."""
    return "\n".join(join.render_for(name) for join in joins if name in (join.table, join.related))


def render_parent_join(contract: Contract, table: Table) -> str:
    """Return SQL that joins a child table to its item and to the element of the outer list; empty for item tables."""
    if table.rows_from is None:
        return ""
    item, name = contract.item_table, table.name
    own = (*list_outer_positions(table.rows_from), "position", *(c.name for c in table.source_columns))
    select_list = ", ".join(("item.*", *(f"{name}.{column}" for column in own)))
    lines = [f"select {select_list}", f"from {name}", f"join {item.name} as item using ({contract.join_key_name})"]
    outer = _find_outer_table(contract, table)
    if outer:
        lines[0] += f", {', '.join(f'outer_row.{c.name} as outer_{c.name}' for c in outer.source_columns)}"
        outer_positions = list_outer_positions(outer.rows_from or "")
        pairs = [(column, column) for column in (contract.join_key_name, *outer_positions)]
        lines += [
            f"join {outer.name} as outer_row",
            *_render_join_conditions("outer_row", name, [*pairs, ("position", table.key[-2])]),
        ]
    return "\n".join(lines) + ";"


def _find_outer_table(contract: Contract, table: Table) -> Table | None:
    """Return the table of the outer list (`Groups` for `Groups[].Members`), or None if it has no table."""
    around = (table.rows_from or "").rpartition("[]")[0]
    return next((t for t in contract.child_tables if around and t.rows_from == around), None)


def _render_join_conditions(left: str, right: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for n, (a, b) in enumerate(pairs):
        yield f"  {'and' if n else 'on '} {left}.{a} = {right}.{b}"


def _list_item_joins(contract: Contract, items: Mapping[str, str], views: Sequence[SqlFile]) -> Iterator[Join]:
    item, key = contract.item_table.name, (contract.join_key_name,)
    for table in (*contract.tables, contract.changes_table):
        related = ((items.get(own.name, table.name), own.name) for own in table.join_keys)
        yield from (Join(table.name, name, (column,)) for name, column in related if name != table.name)
    for view in views:
        if any(column.name in key for column in view.columns):
            yield Join(view.name, item, key, is_single=view.key in key)
    yield Join(item, _ACCOUNTS, (_ACCOUNT_ID,))
    condition = f"{_SCOPE_RUNS}.resource = '{contract.name}'"
    yield Join(item, _SCOPE_RUNS, (_ACCOUNT_ID, "region"), condition=condition)


def _list_export_joins(views: Sequence[SqlFile]) -> Iterator[Join]:
    """Yield the joins of tables about the export: where one has the key of another."""
    tables = {table.name: table for table in load_operational_tables()}
    columns = {name: {c.name for c in table.columns} for name, table in tables.items()}
    columns |= {view.name: {c.name for c in view.columns} for view in views}
    for related in (_ACCOUNTS, _SCOPE_RUNS):
        key = tables[related].key
        for name, own in columns.items():
            if name != related and own.issuperset(key) and "name" not in own:
                yield Join(name, related, key)


def render_contract_diagram(contract: Contract, joins: Sequence[Join], views: Sequence[SqlFile]) -> str:
    """Return the picture of a resource's tables and marts, with their keys."""
    item = contract.item_table.name
    own = [join for join in joins if item in (join.table, join.related)]
    tables = {table.name: _list_table_keys(table) for table in (*contract.tables, contract.changes_table)}
    related = {view.name for view in views} & {join.table for join in own}
    tables |= {view.name: _list_view_keys(view, contract.join_key_name) for view in views if view.name in related}
    return _render_diagram(tables, own)


def render_export_diagram(joins: Sequence[Join], views: Sequence[SqlFile]) -> str:
    """Return the picture of the tables about the export, with their keys."""
    tables = {table.name: _list_table_keys(table) for table in load_operational_tables()}
    names = tables.keys() | {view.name for view in views}
    return _render_diagram(tables, [join for join in joins if {join.table, join.related} <= names])


def _list_table_keys(table: Table) -> list[str]:
    """Return the key columns of a table as Mermaid writes them, with PK, or FK for the item's key in other tables."""
    types = {column.name: column.type for column in table.view_columns}
    marks = {key.name: "PK" if table.key == key.columns else "FK" for key in table.join_keys}
    marks |= dict.fromkeys(table.key, "" if table.join_keys else "PK")
    return [f"{types[name]} {name} {mark}".rstrip() for name, mark in marks.items()]


def _list_view_keys(view: SqlFile, key: str) -> list[str]:
    return [f"string {key} {'PK' if view.key == key else 'FK'}"]


def _render_diagram(tables: Mapping[str, Sequence[str]], joins: Sequence[Join]) -> str:
    lines = ["```mermaid", "erDiagram"]
    for name, keys in tables.items():
        lines += [f"    {name} {{", *(f"        {key}" for key in keys), "    }"] if keys else [f"    {name}"]
    for join in joins:
        many = "o|" if join.is_single else "o{"
        lines.append(f'    {join.related} ||--{many} {join.table} : "{", ".join(join.columns)}"')
    return "\n".join([*lines, "```"])
