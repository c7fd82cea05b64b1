"""What `tables` and `describe` answer: every table and view with its columns, from contracts and SQL headers alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipelines import packaged
from pipelines.contracts import Contract, load_all
from pipelines.contracts.arrow import DUCKDB_TYPES
from pipelines.contracts.contract import all_tables
from pipelines.contracts.render import join_to_parent
from pipelines.errors import SetupError, did_you_mean


@dataclass(frozen=True, slots=True)
class Entry:
    """A table, or a view over several. `columns` are (name, DuckDB type, doc); `key` is unique within a snapshot."""

    name: str
    doc: str
    columns: tuple[tuple[str, str | None, str], ...]
    key: tuple[str, ...] = ()
    resource: str | None = None
    join: str | None = None
    """SQL that puts the parent beside each row."""


def entries() -> list[Entry]:
    """All of them: what AWS gave, then what the export says of itself, then views."""
    contracts = load_all()
    return [*_tables(contracts), *_views()]


def entry(name: str) -> Entry:
    """The one of that name; raises SetupError with the nearest known one."""
    known = {e.name: e for e in entries()}
    if name not in known:
        near = did_you_mean(name, list(known))
        raise SetupError(f'there is no table "{name}"{near or "; all of them: appstream-export tables"}')
    return known[name]


def overview(*, is_brief: bool) -> pa.Table:
    """One row per entry: its name and what its rows are; unless brief, also what it comes from and how it is joined."""
    found = entries()
    columns = {"table": [e.name for e in found], "doc": [e.doc for e in found]}
    if is_brief:
        return pa.table(columns)
    keys = pa.array([list(e.key) for e in found], pa.list_(pa.string()))
    joins = pa.array([e.join for e in found], pa.string())
    resources = pa.array([e.resource for e in found], pa.string())
    return pa.table(columns | {"resource": resources, "key": keys, "join_to_parent": joins})


def columns(entry: Entry) -> pa.Table:
    """One row per column of an entry."""
    names, types, docs = zip(*entry.columns, strict=True)
    return pa.table({"column": names, "type": pa.array(types, pa.string()), "doc": docs})


def _tables(contracts: Sequence[Contract]) -> Iterator[Entry]:
    joins = {t.name: join_to_parent(c, t) for c in contracts for t in c.child_tables}
    resources = {t.name: c.name for c in contracts for t in (*c.tables, c.changes)}
    for table in all_tables(contracts):
        columns = tuple((c.name, DUCKDB_TYPES[c.type], c.doc) for c in table.view_columns)
        yield Entry(table.name, table.doc, columns, table.key, resources.get(table.name), joins.get(table.name))


def _views() -> Iterator[Entry]:
    """Views over several tables: their files begin with `-- name: doc`, first their own, then each column's."""
    for file in sorted((packaged.folder("sql") / "views").glob("*.sql")):
        lines = (line for line in file.read_text("utf-8").splitlines() if line.startswith("-- "))
        header = dict(line.removeprefix("-- ").split(": ", 1) for line in lines)
        columns = tuple((name, None, doc) for name, doc in header.items() if name not in (file.stem, "reads"))
        yield Entry(file.stem, header[file.stem], columns)
