"""The catalog's SQL: for each table the newest rows, all rows and the rows as of a moment, with comments.

`<table>` is the newest snapshot, `<table>_history` all of them, `<table>_as_of(t)` the newest at a moment. Columns
are named one by one, in the contract's order, and files by their paths. What a view needs besides (which snapshot was
committed when) stands in the small tables of the schema `lake`.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import packaged
from pipelines.contracts import Column, Contract, Table
from pipelines.contracts.contract import ACCOUNT_NAME, IS_STALE, all_tables
from pipelines.errors import BadContract
from pipelines.lake.manifest import Manifest
from pipelines.lake.sql import listed, literal, quoted, rows

SNAPSHOT_AT = Column("snapshot_at", "timestamp", "When the row's snapshot was committed.")
# A moment as users write it: a bare date means its end, a time without zone is UTC.
_MOMENT = r"""case
        when regexp_full_match(trim(t::varchar), '\d{4}-\d{1,2}-\d{1,2}')
        then ((trim(t::varchar)::date + 1)::varchar || ' 00:00:00+00')::timestamptz - interval 1 microsecond
        when regexp_matches(trim(t::varchar), '(Z|z| UTC|[+-]\d{2}(:?\d{2}){0,2})$') then trim(t::varchar)::timestamptz
        else (trim(t::varchar) || '+00')::timestamptz
    end"""


@dataclass(frozen=True, slots=True)
class View:
    """A view's name, doc and columns in order: what the catalog shows of it, and what `describe` prints."""

    name: str
    doc: str
    columns: tuple[Column, ...]


def shown(table: Table) -> View:
    """The view of a table's newest rows: the table's columns, and for contract tables account name and staleness."""
    return View(table.name, table.doc, table.view_columns)


def statements(
    contracts: Sequence[Contract], manifests: Sequence[Manifest], uri: Callable[[str], str]
) -> Iterator[str]:
    """Every statement that makes the catalog of a history, in order."""
    tables = all_tables(contracts)
    first = ("scope_runs", "accounts")  # the other views join them
    yield from _commits(manifests)
    for table in sorted(tables, key=lambda table: table.name not in first):
        yield from _table(table, manifests, uri)
    for file in sorted((packaged.folder("sql") / "views").glob("*.sql")):
        yield from _file(file)


def _commits(manifests: Iterable[Manifest]) -> Iterator[str]:
    yield "create schema lake"
    yield "create table lake.commits (seq bigint, snapshot_id varchar, committed_at timestamptz)"
    values = ", ".join(
        f"({m.seq}, {literal(m.snapshot_id)}, {literal(m.committed_at.isoformat())}::timestamptz)" for m in manifests
    )
    yield f"insert into lake.commits values {values}"


def _table(table: Table, manifests: Sequence[Manifest], uri: Callable[[str], str]) -> Iterator[str]:
    newest = [files] if (files := manifests[-1].tables.get(table.name)) else []
    every = [files for m in manifests if (files := m.tables.get(table.name))]
    view = shown(table)
    past = View(f"{table.name}_history", f"{table.doc} All snapshots.", (*view.columns, SNAPSHOT_AT))
    if table.cumulative:  # the newest snapshot holds the earlier ones' rows already
        past, every = View(past.name, past.doc, view.columns), newest
    yield f"create view {quoted(view.name)} as {_select(table, view, rows(table, newest, uri), past=False)}"
    yield f"create view {quoted(past.name)} as {_select(table, past, rows(table, every, uri), past=True)}"
    yield _as_of(table, past)
    yield from (*_comments(view), *_comments(past))


def _select(table: Table, view: View, source: str, *, past: bool) -> str:
    names = ", ".join(_origin(column) for column in view.columns)
    joins, suffix, snapshot = "", ("_history" if past else ""), ("snapshot_id, " if past else "")
    if past and not table.cumulative:
        joins += " join lake.commits as c using (snapshot_id)"
    if table.resource:
        joins += f" left join accounts{suffix} as a using ({snapshot}account_id)"
        run = f"(select * from scope_runs{suffix} where resource = {literal(table.resource)})"
        joins += f" left join {run} as s using ({snapshot}account_id, region)"
    return f"select {names} from ({source}) as r{joins}"


def _origin(column: Column) -> str:
    if column is ACCOUNT_NAME:
        return "a.account_name"
    if column is IS_STALE:
        return "s.is_stale"
    return "c.committed_at as snapshot_at" if column is SNAPSHOT_AT else f"r.{quoted(column.name)}"


def _as_of(table: Table, past: View) -> str:
    when = f"committed_at <= {_MOMENT}"
    if not table.cumulative:
        when = f"snapshot_id = (select snapshot_id from lake.commits where {when} order by seq desc limit 1)"
    select = f"select {listed(column.name for column in past.columns)} from {quoted(past.name)} where {when}"
    return f"create macro {quoted(f'{table.name}_as_of')}(t) as table {select}"


def _comments(view: View) -> Iterator[str]:
    yield f"comment on view {quoted(view.name)} is {literal(view.doc)}"
    for column in view.columns:
        yield f"comment on column {quoted(view.name)}.{quoted(column.name)} is {literal(column.doc)}"


def _file(file: Path) -> Iterator[str]:
    """A cross-table view: the SQL of a file, its comments from the header `-- name: doc`."""
    header: dict[str, str] = {}
    text = file.read_text("utf-8")
    for line in text.splitlines():
        if not line.startswith("-- "):
            break
        name, _, doc = line.removeprefix("-- ").partition(": ")
        header[name] = doc
    if file.stem not in header:
        raise BadContract(f'{file.name}: the header must begin with "-- {file.stem}: one row per ..."')
    yield f"create view {quoted(file.stem)} as {text}"
    columns = tuple(Column(n, "", doc) for n, doc in header.items() if n not in (file.stem, "reads"))
    yield from _comments(View(file.stem, header[file.stem], columns))
