"""What complete answers prove to have changed: SQL that compares the draft with the head, contract by contract.

Batch of scopes by batch, so that memory does not grow with their number. First the keys of items that differ: rows of
the new side count 1, of the old side -1, and what is equal adds up to nothing; a child table is thereby compared as a
multiset. Rows are told apart by their 64-bit hashes: one change in 10^19 may look like none. Only those items are then
joined by key and written out, values as text (see `_text`), a child table as a JSON list in AWS's order. A column that
either snapshot does not know, or that stands in quarantine for the item, proves nothing.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from pipelines.contracts import Column, Contract, Table
from pipelines.lake import sql
from pipelines.lake.decisions import Concludes, Decision
from pipelines.lake.staging import Staging, item_name
from pipelines.scope import Task

BATCH_ITEMS = 100_000  # some 200 MB in DuckDB while all of them are new; a scope is never divided
_SCOPE = ("account_id", "region")
_FROM = {"new": "new", "old": "head"}  # where a side's rows are staged
_NEW_SIDE, _OLD_SIDE = "('first', 'seen', 'all')", "('seen', 'all', 'end')"


def rows(
    staging: Staging, contract: Contract, decisions: Iterable[Decision], items: Mapping[Task, int]
) -> Iterator[pa.Table]:
    """The rows of the contract's changes table, in order. `items` says how many a task has, old and new ones."""
    compared = _Compared(contract, staging)
    concluding = [d for d in decisions if d.task.resource == contract.name and d.concludes is not Concludes.NOTHING]
    if concluding:
        staging.con.execute(f"create or replace temp table places as {_places(compared)}")
    for batch in _batches(concluding, items):
        _prepare(staging, compared, batch)
        yield from staging.stream(_select(compared))


def _batches(decisions: Iterable[Decision], items: Mapping[Task, int]) -> Iterator[list[Decision]]:
    """Scopes that follow each other, as many as make a batch of items; by scope, as the rows are to be."""
    batch, size = list[Decision](), 0
    for decision in sorted(decisions, key=lambda decision: decision.task.scope):
        size += items.get(decision.task, 0)
        if batch and size > BATCH_ITEMS:
            yield batch
            batch, size = [], items.get(decision.task, 0)
        batch.append(decision)
    if batch:
        yield batch


def _prepare(staging: Staging, compared: "_Compared", batch: Sequence[Decision]) -> None:
    """Make the temporary table `differing`: one row per item of the batch that is new, gone or not the same."""
    first, last = (sql.literal(decision.task.scope.account_id) for decision in (batch[0], batch[-1]))
    regions = sql.literal(batch[0].task.scope.region), sql.literal(batch[-1].task.scope.region)
    staging.con.execute(f"""
        create or replace temp table batch as from tasks
        where resource = {sql.literal(compared.contract.name)} and concludes <> 'nothing'
        and (account_id, region) >= ({first}, {regions[0]}) and (account_id, region) <= ({last}, {regions[1]})
    """)
    compared.within = f"account_id between {first} and {last}"
    staging.con.execute(f"create or replace temp table unlike as {_unlike(compared)}")
    staging.con.execute(f"create or replace temp table differing as {_differing(compared)}")


def _select(compared: "_Compared") -> str:
    """SELECT the change rows of the batch, in order."""
    keys = sql.listed(compared.key)
    parts = (
        _whole_items(compared, "first_seen", "side = 'new' and concludes = 'first'"),
        _whole_items(compared, "created", "concludes in ('seen', 'all') and (side = 'new' or reborn)"),
        _whole_items(compared, "deleted", "(side = 'old' and concludes = 'all') or reborn"),
        _whole_items(compared, "ended", "concludes = 'end'"),
        _changed(compared),
    )
    return f"from ({' union all '.join(parts)}) order by {keys}, change, column_name"


class _Compared:
    """What of a contract can be compared with the head: columns that both know under the same type."""

    def __init__(self, contract: Contract, staging: Staging) -> None:
        self.contract = contract
        self.key = (*_SCOPE, *contract.item_key)
        self.within = "true"
        """Where the batch lies: files are sorted by account, so most of their parts need not be read."""
        self._stored = {name: files.columns for name, files in staging.base.tables.items()} if staging.base else {}
        self._filled = {table.name for table in contract.tables if staging.has_rows(table)}

    def shared(self, table: Table) -> list[Column]:
        """Own columns of a table that both snapshots have; the key of items does not change."""
        known: Mapping[str, str] = self._stored.get(table.name, {})
        return [c for c in table.own if known.get(c.name) == c.type and c.name not in self.key]

    def children(self) -> list[Table]:
        """Child tables that can be compared."""
        return [table for table in self.contract.child_tables if self.shared(table)]

    def is_filled(self, table: Table) -> bool:
        """Whether either side has any row of it."""
        return table.name in self._filled

    def known(self, table: Table, side: str) -> list[Column]:
        """Own columns that a side's whole items are written with."""
        known: Mapping[str, str] = self._stored.get(table.name, {})
        return [c for c in table.own if side == "new" or c.name in known]


def _unlike(compared: _Compared) -> str:
    """Keys of items that either side has alone, or that differ in a column or in a child table."""
    item, contract = compared.contract.item_table, compared.contract
    tables = [_surplus(compared, item, contract.item_key)]
    tables += [_surplus(compared, t, contract.parent_key) for t in compared.children() if compared.is_filled(t)]
    return f"select distinct * from ({' union all '.join(tables)})"


def _surplus(compared: _Compared, table: Table, names: Sequence[str]) -> str:
    """Keys of a table's rows that one side has more often than the other."""
    contract = compared.contract
    key = ", ".join(f"{sql.quoted(n)} as {sql.quoted(k)}" for n, k in zip(names, contract.item_key, strict=True))
    own = sql.listed(c.name for c in compared.shared(table))
    sides = " union all ".join(
        f"select {sql.listed(_SCOPE)}, {key}, hash({own or 'null'}) as content, {one} as one"
        f" from {_source(table, side)}"
        f" semi join (from batch where concludes in {concluding}) using ({sql.listed(_SCOPE)})"
        f" where {compared.within}"
        for side, one, concluding in (("new", 1, _NEW_SIDE), ("head", -1, _OLD_SIDE))
    )
    keys = sql.listed(compared.key)
    return f"select {keys} from ({sides}) group by {keys}, content having sum(one) <> 0"


def _source(table: Table, side: str) -> str:
    return sql.quoted(f"{side}_{table.name}")


def _differing(compared: _Compared) -> str:
    item = compared.contract.item_table
    born = f"new_{item.born}, old_{item.born}".split(", ") if item.born else []
    reborn = f"({born[0]} <> {born[1]})" if born else "false"
    unlike = [f"{_at('new', c.name)} is distinct from {_at('old', c.name)}" for c in compared.shared(item)]
    unlike += [
        f"{_at('new', t.name + ' bag')} is distinct from {_at('old', t.name + ' bag')}" for t in compared.children()
    ]
    return f"""
        select *, coalesce(both_sides and {reborn}, false) as reborn
        from (
            select *, coalesce(new_concludes, old_concludes) as concludes,
                coalesce(new_answered_at, old_answered_at) as answered_at,
                coalesce(new_previous_at, old_previous_at) as previous_at,
                new_concludes is not null and old_concludes is not null as both_sides,
                case when old_concludes is null then 'new' when new_concludes is null then 'old' else 'both' end as side
            from ({_side(compared, "new")}) full join ({_side(compared, "old")}) using ({sql.listed(compared.key)})
        )
        where not both_sides or {" or ".join(unlike) or "false"}
    """


def _side(compared: _Compared, side: str) -> str:
    """Items of one side, their columns and the lists of their children, each name with the side in front."""
    contract, item = compared.contract, compared.contract.item_table
    concluding = _NEW_SIDE if side == "new" else _OLD_SIDE
    own = [f"i.{sql.quoted(c.name)} as {_at(side, c.name)}" for c in item.own if c.name not in compared.key]
    lists = [
        f"{f'coalesce({sql.quoted(t.name)}.{part}, {empty})' if compared.is_filled(t) else empty}"
        f" as {_at(side, f'{t.name} {part}')}"
        for t in contract.child_tables
        for part, empty in (("whole", "'[]'"), ("shared", "'[]'"), ("bag", "[]::varchar[]"))
    ]
    turns = [f"t.{name} as {side}_{name}" for name in ("concludes", "answered_at", "previous_at")]
    joins = [
        f"left join ({_lists(compared, t, side)}) as {sql.quoted(t.name)} using ({sql.listed(compared.key)})"
        for t in contract.child_tables
        if compared.is_filled(t)
    ]
    return f"""
        select {sql.listed(compared.key)}, {", ".join((*own, *lists, *turns))}, i.observed_at as {side}_observed_at
        from (
            from {_source(item, _FROM[side])} semi join unlike using ({sql.listed(compared.key)})
            where {compared.within}
        ) i
        join (from batch where concludes in {concluding}) t
        using ({sql.listed(_SCOPE)}) {" ".join(joins)}
    """


def _lists(compared: _Compared, table: Table, side: str) -> str:
    """Per item: its elements as JSON in AWS's order, with all columns and with the shared ones, and as a sorted bag."""
    contract = compared.contract
    places = sql.listed(key for key in table.key if key not in (*_SCOPE, *contract.parent_key))
    names = ", ".join(
        f"{sql.quoted(p)} as {sql.quoted(k)}" for p, k in zip(contract.parent_key, contract.item_key, strict=True)
    )
    keys = ", ".join(
        f"{sql.quoted(k)} as {sql.quoted(p)}" for p, k in zip(contract.parent_key, contract.item_key, strict=True)
    )
    whole, shared = _object(compared.known(table, side)), _object(compared.shared(table))
    return f"""
        select {sql.listed(_SCOPE)}, {names},
            to_json(list({whole} order by {places}))::varchar as whole,
            to_json(list({shared} order by {places}))::varchar as shared,
            list_sort(list(to_json({shared})::varchar)) as bag
        from {_source(table, _FROM[side])}
        semi join (select {sql.listed(_SCOPE)}, {keys} from unlike)
        using ({sql.listed((*_SCOPE, *contract.parent_key))})
        where {compared.within}
        group by all
    """


def _whole_items(compared: _Compared, change: str, condition: str) -> str:
    """One row per item with all of it as JSON: in new_value where it appeared, in old_value where it went."""
    side = "new" if change in ("first_seen", "created") else "old"
    value = _item(compared, side)
    old, new = ("null", value) if side == "new" else (value, "null")
    observed = "new_observed_at" if side == "new" else "coalesce(new_observed_at, answered_at)"
    previous = {"first_seen": "null", "created": "coalesce(old_observed_at, previous_at)"}.get(
        change, "old_observed_at"
    )
    return f"""
        select {sql.listed(compared.key)}, '{change}' as change, null as column_name, {old}::varchar as old_value,
            {new}::varchar as new_value, {observed} as observed_at, {previous}::timestamptz as previous_observed_at
        from differing where {condition}
    """


def _changed(compared: _Compared) -> str:
    """One row per column in which an item differs, except where the value stands in quarantine."""
    item = compared.contract.item_table
    found = [
        _difference(c.name, _text(c, "old"), _text(c, "new"), _at("old", c.name), _at("new", c.name))
        for c in compared.shared(item)
    ]
    for t in compared.children():
        names = [_at(side, f"{t.name} {part}") for part in ("shared", "bag") for side in ("old", "new")]
        found.append(_difference(t.name, *names))
    key = sql.listed(compared.key)
    if not found:
        return f"select {key}, '', '', '', '', now(), now() from differing where false"
    return f"""
        select {key}, 'changed' as change, column_name, old_value, new_value, new_observed_at, old_observed_at
        from (
            select {key}, item_name, new_observed_at, old_observed_at, unnest(d)
            from (
                select *, {item_name(compared.contract.item_key)} as item_name, unnest([{", ".join(found)}]) as d
                from differing where side = 'both' and not reborn
            )
            where d.differs
        )
        anti join places using ({sql.listed(_SCOPE)}, item_name, column_name)
    """


def _difference(name: str, old_text: str, new_text: str, old: str, new: str) -> str:
    return (
        f"{{column_name: {sql.literal(name)}, old_value: {old_text}, new_value: {new_text},"
        f" differs: {old} is distinct from {new}}}"
    )


def _places(compared: _Compared) -> str:
    """Which column of which item stands in quarantine, in either snapshot: a path at, above or below its source."""
    contract = compared.contract
    sources = [(c.name, c.source) for c in contract.item_table.own]
    sources += [(t.name, (t.each or "").replace("[]", "")) for t in contract.child_tables]
    known = ", ".join(f"({sql.literal(name)}, {sql.literal(source)})" for name, source in sources)
    bad = " union all ".join(
        f"select resource, account_id, region, item_name, level, path from {side}_quarantine"
        for side in ("new", "head")
    )
    return f"""
        select distinct account_id, region, item_name, column_name
        from (select *, regexp_replace(path, '\\[[0-9]+\\]', '', 'g') as place from ({bad})) q
        join (values {known}) as c(column_name, source)
        on place = source or starts_with(source, place || '.') or starts_with(place, source || '.')
        where resource = {sql.literal(contract.name)} and level <> 'item' and item_name is not null
    """


def _item(compared: _Compared, side: str) -> str:
    """SQL for a whole item as JSON text: its own columns, then its child tables."""
    contract = compared.contract
    fields = [f"{sql.quoted(key)} := {sql.quoted(key)}" for key in contract.item_key]
    fields += [
        f"{sql.quoted(c.name)} := {_json(c, _at(side, c.name))}"
        for c in compared.known(contract.item_table, side)
        if c.name not in compared.key
    ]
    fields += [
        f"{sql.quoted(t.name)} := {_at(side, t.name + ' whole')}::json"
        for t in contract.child_tables
        if compared.known(t, side)
    ]
    return f"to_json(struct_pack({', '.join(fields)}))"


def _object(columns: Iterable[Column]) -> str:
    fields = ", ".join(f"{sql.quoted(c.name)} := {_json(c, sql.quoted(c.name))}" for c in columns)
    return f"struct_pack({fields})" if fields else "null"


def _json(column: Column, value: str) -> str:
    return f"iso({value})" if column.type == "timestamp" else value


def _text(column: Column, side: str) -> str:
    """A value as text: times in ISO 8601, booleans as true and false, numbers as they print."""
    value = _at(side, column.name)
    return f"iso({value})" if column.type == "timestamp" else f"{value}::varchar"


def _at(side: str, name: str) -> str:
    return sql.quoted(f"{side}_{name}")
