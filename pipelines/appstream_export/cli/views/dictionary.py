"""Output of `tables` and `describe`: every table and view with its columns, from contracts and SQL headers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from appstream_export.cli.result_rows import ListedRows
from appstream_export.contracts import (
    DUCKDB_TYPES,
    Contract,
    Join,
    SqlFile,
    list_joins,
    list_snapshot_tables,
    list_view_files,
    render_parent_join,
    render_related_joins,
)
from appstream_export.errors import ConfigurationError, suggest_correction


@dataclass(frozen=True, slots=True)
class DictionaryEntry:
    """A table or a view. `columns` are (name, DuckDB type, doc); `key` is unique within a snapshot."""

    name: str
    doc: str
    columns: tuple[tuple[str, str, str], ...]
    key: tuple[str, ...] = ()
    resource: str | None = None
    join: str | None = None
    """SQL that joins each row to its parent."""
    joins: str = ""
    """Lines of SQL that join it to related tables."""


def list_entries(contracts: Sequence[Contract]) -> list[DictionaryEntry]:
    """Return all entries: tables of AWS items, then tables about the export, then views."""
    views = list_view_files(contracts)
    joins = list_joins(contracts, views)
    return [*_build_table_entries(contracts, joins), *_build_view_entries(views, joins)]


def find_entry(contracts: Sequence[Contract], name: str) -> DictionaryEntry:
    """Return the entry with a name; raises ConfigurationError with the nearest known name."""
    known = {e.name: e for e in list_entries(contracts)}
    if name not in known:
        near = suggest_correction(name, list(known))
        raise ConfigurationError(f'there is no table "{name}"', fix=near or "list them: appstream-export tables")
    return known[name]


def build_tables_overview(contracts: Sequence[Contract], *, is_brief: bool) -> ListedRows:
    """Build one row per entry: name and description; unless brief, also resource, key and join."""
    entries = list_entries(contracts)
    if is_brief:
        return ListedRows(("table", "doc"), [(entry.name, entry.doc) for entry in entries])
    return ListedRows(
        ("table", "doc", "resource", "key", "join_to_parent", "joins"),
        [(e.name, e.doc, e.resource, list(e.key), e.join, e.joins.splitlines()) for e in entries],
    )


def list_named_queries(named_queries: Sequence[SqlFile], *, is_brief: bool) -> ListedRows:
    """Build one row per named query; unless brief, also the type and doc of parameters, and the tables it reads."""
    if is_brief:
        return ListedRows(
            ("name", "question", "parameters"),
            [(q.name, q.question, ", ".join(f"{p.name}={p.default}" for p in q.params)) for q in named_queries],
        )
    parameters = (
        [{"name": p.name, "type": p.type, "default": p.default, "doc": p.doc} for p in q.params] for q in named_queries
    )
    return ListedRows(
        ("name", "title", "question", "parameters", "reads"),
        [(q.name, q.doc, q.question, p, list(q.reads)) for q, p in zip(named_queries, parameters, strict=True)],
    )


def list_entry_columns(entry: DictionaryEntry) -> ListedRows:
    """Build one row per column of an entry."""
    return ListedRows(("column", "type", "doc"), entry.columns)


def _build_table_entries(contracts: Sequence[Contract], joins: Sequence[Join]) -> Iterator[DictionaryEntry]:
    parents = {t.name: render_parent_join(c, t) for c in contracts for t in c.child_tables}
    resources = {t.name: c.name for c in contracts for t in (*c.tables, c.changes_table)}
    for table in list_snapshot_tables(contracts):
        columns = tuple((c.name, DUCKDB_TYPES[c.type], c.doc) for c in table.view_columns)
        related, resource = render_related_joins(table.name, joins), resources.get(table.name)
        yield DictionaryEntry(table.name, table.doc, columns, table.key, resource, parents.get(table.name), related)


def _build_view_entries(views: Sequence[SqlFile], joins: Sequence[Join]) -> Iterator[DictionaryEntry]:
    """Yield the entries of views over several tables and of marts, from their SQL headers."""
    for view in views:
        columns = tuple((c.name, c.type.upper(), c.doc) for c in view.columns)
        key, related = (view.key,) if view.key else (), render_related_joins(view.name, joins)
        yield DictionaryEntry(view.name, view.doc, columns, key, joins=related)
