"""Output of `tables` and `describe`: every table and view with its columns, from contracts and SQL headers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

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


def build_tables_overview(contracts: Sequence[Contract], *, is_brief: bool) -> pa.Table:
    """Build one row per entry: name and description; unless brief, also resource, key and join."""
    found = list_entries(contracts)
    columns = {"table": [e.name for e in found], "doc": [e.doc for e in found]}
    if is_brief:
        return pa.table(columns)
    keys = pa.array([list(e.key) for e in found], pa.list_(pa.string()))
    joins = pa.array([e.join for e in found], pa.string())
    resources = pa.array([e.resource for e in found], pa.string())
    related = [e.joins.splitlines() for e in found]
    return pa.table(
        columns
        | {"resource": resources, "key": keys, "join_to_parent": joins}
        | {"joins": pa.array(related, pa.list_(pa.string()))}
    )


def list_named_queries(named_queries: Sequence[SqlFile], *, is_brief: bool) -> pa.Table:
    """Build one row per named query; unless brief, also the type and doc of parameters, and the tables it reads."""
    names, questions = [q.name for q in named_queries], [q.question for q in named_queries]
    if is_brief:
        defaults = [", ".join(f"{p.name}={p.default}" for p in q.params) for q in named_queries]
        return pa.table({"name": names, "question": questions, "parameters": defaults})
    params = [
        [{"name": p.name, "type": p.type, "default": p.default, "doc": p.doc} for p in q.params] for q in named_queries
    ]
    kind = pa.list_(pa.struct([(key, pa.string()) for key in ("name", "type", "default", "doc")]))
    return pa.table(
        {
            "name": names,
            "title": [q.doc for q in named_queries],
            "question": questions,
            "parameters": pa.array(params, kind),
            "reads": pa.array([list(q.reads) for q in named_queries], pa.list_(pa.string())),
        }
    )


def list_entry_columns(entry: DictionaryEntry) -> pa.Table:
    """Build one row per column of an entry."""
    names, types, docs = zip(*entry.columns, strict=True)
    return pa.table({"column": names, "type": types, "doc": docs})


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
