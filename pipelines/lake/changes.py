"""What complete answers prove to have changed: SQL that compares the draft with the head, contract by contract.

Batch of scopes by batch, so that memory does not grow with their number. First which items differ: per item, the
64-bit hashes of its rows and its children's are added up, those of the old side taken away, and what is equal on both
sides leaves nothing. A child table is thereby compared as a multiset, and one change in 10^18 may look like none. Only
the items that are left are then joined by key and written out, values as text (see `_text`), a child table as a JSON
list in AWS's order. Scopes that begin or end have one side only, which is written out as it is. A column that either
snapshot does not know, or that stands in quarantine for the item, proves nothing.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from pipelines.contracts import Column, Contract, Table
from pipelines.lake import sql
from pipelines.lake.decisions import Concludes, Decision
from pipelines.lake.staging import Staging, item_name
from pipelines.scope import Task

BATCH_ITEMS = 100_000  # items that are compared at once; a scope is never divided
WHOLE = 8  # an item that is written out as a whole takes as much memory as so many that are compared
_SCOPE = ("account_id", "region")
_FROM = {"new": "fresh", "old": "head"}  # where a side's rows are staged; an answer that concludes is never set aside
_COMPARED = (Concludes.SEEN, Concludes.ALL)
_MOMENTS = {  # observed_at and previous_observed_at of a whole item's row
    "first_seen": ("new_observed_at", "null"),
    "created": ("new_observed_at", "coalesce(old_observed_at, previous_at)"),
    "deleted": ("coalesce(new_observed_at, answered_at)", "old_observed_at"),
    "ended": ("old_answered_at", "old_observed_at"),
}


def rows(
    staging: Staging, contract: Contract, decisions: Iterable[Decision], items: Mapping[Task, int]
) -> Iterator[pa.Table]:
    """The rows of the contract's changes table, in order. `items` says how many a task has, old and new ones."""
    compared = _Compared(contract, staging)
    mine = [decision for decision in decisions if decision.task.resource == contract.name]
    concluding = [decision for decision in mine if decision.concludes is not Concludes.NOTHING]
    compared.is_whole = all(decision.concludes in _COMPARED for decision in mine)
    if concluding:
        staging.con.execute(f"create or replace temp table places as {_places(compared, staging)}")
    for batch in _batches(concluding, items):
        kinds = {decision.concludes for decision in batch}
        _prepare(staging, compared, batch)
        parts = [_one_sided(compared, kind) for kind in (Concludes.FIRST, Concludes.END) if kind in kinds]
        if kinds.intersection(_COMPARED) and _is_unlike(staging, compared):
            staging.con.execute(f"create or replace temp table differing as {_differing(compared)}")
            parts += _two_sided(compared)
        if parts:
            order = sql.listed((*compared.key, "change", "column_name"))
            yield from staging.stream(f"from ({' union all '.join(parts)}) order by {order}")


def _batches(decisions: Iterable[Decision], items: Mapping[Task, int]) -> Iterator[list[Decision]]:
    """Scopes that follow each other, as many as make a batch of items; by scope, as the rows are to be."""
    batch, size = list[Decision](), 0
    for decision in sorted(decisions, key=lambda decision: decision.task.scope):
        weight = items.get(decision.task, 0) * (1 if decision.concludes in _COMPARED else WHOLE)
        size += weight
        if batch and size > BATCH_ITEMS:
            yield batch
            batch, size = [], weight
        batch.append(decision)
    if batch:
        yield batch


def _prepare(staging: Staging, compared: "_Compared", batch: Sequence[Decision]) -> None:
    """Make the temporary table `batch`: the tasks of it, as they stand in `tasks`."""
    first, last = batch[0].task.scope, batch[-1].task.scope
    staging.con.execute(f"""
        create or replace temp table batch as from tasks
        where resource = {sql.literal(compared.contract.name)} and concludes <> 'nothing'
        and account_id || '/' || region between {sql.literal(str(first))} and {sql.literal(str(last))}
    """)
    compared.within = f"account_id between {sql.literal(first.account_id)} and {sql.literal(last.account_id)}"


def _is_unlike(staging: Staging, compared: "_Compared") -> bool:
    """Whether the sides may differ, and if so, in which items: their hashed keys are in the temporary table `unlike`.

    They are those of items that either side has alone, or that differ in a column or in a child table; and of some
    others, which are left out when the sides are joined.
    """
    contract = compared.contract
    if not compared.is_filled(contract.item_table):
        return False
    filled = [table for table in compared.children() if compared.is_filled(table)]
    children = [table for table in filled if staging.rows(_whole_unlike(compared, table))]
    staging.con.execute(f"create or replace temp table unlike as {_unlike(compared, children)}")
    return bool(staging.rows("select 1 from unlike limit 1"))


def _one_sided(compared: "_Compared", concludes: Concludes) -> str:
    """Change rows of scopes that have no other side: each of their items is first seen, or has ended."""
    side, change = ("new", "first_seen") if concludes is Concludes.FIRST else ("old", "ended")
    return _whole_items(compared, change, f"({_side(compared, side, [concludes])})", "true")


def _two_sided(compared: "_Compared") -> list[str]:
    """Change rows of the items in `differing`."""
    return [
        _whole_items(compared, "created", "differing", "side = 'new' or reborn"),
        _whole_items(compared, "deleted", "differing", "(side = 'old' and concludes = 'all') or reborn"),
        _changed(compared),
    ]


class _Compared:
    """What of a contract can be compared with the head: columns that both know under the same type."""

    def __init__(self, contract: Contract, staging: Staging) -> None:
        self.contract, self._staging = contract, staging
        self.key = (*_SCOPE, *contract.item_key)
        self.within = "true"
        """Where the batch lies: files are sorted by account, so most of their parts need not be read."""
        self._stored = {name: files.columns for name, files in staging.base.tables.items()} if staging.base else {}
        self.is_whole = True
        """Whether every scope is to be compared, so that none need be left out."""
        self._filled = {table.name for table in contract.tables if staging.has_rows(table)}

    def rows(self, table: Table, side: str) -> str:
        """SQL for a side's rows of it, in brackets."""
        return self._staging.query(f"{_FROM[side]}_{table.name}")

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


def _unlike(compared: _Compared, children: Iterable[Table]) -> str:
    rows = " union all ".join(_signed(compared, table) for table in (compared.contract.item_table, *children))
    return f"select item from ({rows}) group by item having sum(content) <> 0"


def _whole_unlike(compared: _Compared, table: Table) -> str:
    """SQL that gives a row if the sides of a child table differ anywhere: mostly they do not, and this is cheaper."""
    return f"select 1 from ({_signed(compared, table, per_item=False)}) having sum(content) <> 0"


def _signed(compared: _Compared, table: Table, *, per_item: bool = True) -> str:
    """SQL for both sides' rows, each as a number, one side's below zero: over an item, or over all, they add up to 0.

    Hashed twice, as sums of the first would not be random.
    """
    names = compared.contract.item_key if table is compared.contract.item_table else compared.contract.parent_key
    only = "" if compared.is_whole else f" semi join ({_scopes(_COMPARED)}) using ({sql.listed(_SCOPE)})"
    own = [sql.quoted(column.name) for column in compared.shared(table)]
    content = f"hash(hash({', '.join((sql.literal(table.name), *([] if per_item else [_hashed(names)]), *own))}))"
    return " union all ".join(
        f"select {_hashed(names)} as item, {sign} ({content} >> 1)::bigint as content"
        f" from {compared.rows(table, side)}{only} where {compared.within}"
        for side, sign in (("new", ""), ("old", "-"))
    )


def _hashed(names: Sequence[str]) -> str:
    """SQL for the key of an item as one number, `names` being its own columns: items with equal ones may differ."""
    return f"hash({sql.listed((*_SCOPE, *names))})"


def _differing(compared: _Compared) -> str:
    """The items of `unlike` that really differ, both sides in one row."""
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
            from ({_side(compared, "new", _COMPARED, unlike=True)})
            full join ({_side(compared, "old", _COMPARED, unlike=True)}) using ({sql.listed(compared.key)})
        )
        where not both_sides or {" or ".join(unlike) or "false"}
    """


def _side(compared: _Compared, side: str, concluding: Iterable[Concludes], *, unlike: bool = False) -> str:
    """Items of one side, their columns and the lists of their children, each name with the side in front.

    Of the batch's scopes that conclude as said; all of their items, or those in `unlike`.
    """
    contract, item = compared.contract, compared.contract.item_table
    own = [f"i.{sql.quoted(c.name)} as {_at(side, c.name)}" for c in item.own if c.name not in compared.key]
    lists = [
        f"{f'coalesce({sql.quoted(t.name)}.{part}, {empty})' if compared.is_filled(t) else empty}"
        f" as {_at(side, f'{t.name} {part}')}"
        for t in contract.child_tables
        for part, empty in (("whole", "[]"), ("shared", "'[]'"), ("bag", "[]::varchar[]"))
    ]
    turns = [f"t.{name} as {side}_{name}" for name in ("concludes", "answered_at", "previous_at")]
    key = sql.listed(compared.key)
    joins = [
        f"left join ({_lists(compared, t, side, unlike=unlike)}) as {sql.quoted(t.name)} using ({key})"
        for t in contract.child_tables
        if compared.is_filled(t)
    ]
    return f"""
        select {key}, {", ".join((*own, *lists, *turns))}, i.observed_at as {side}_observed_at
        from (from {compared.rows(item, side)} where {_chosen(compared, contract.item_key, unlike=unlike)}) i
        join ({_scopes(concluding)}) t
        using ({sql.listed(_SCOPE)}) {" ".join(joins)}
    """


def _scopes(concluding: Iterable[Concludes]) -> str:
    return f"from batch where concludes in ({', '.join(map(sql.literal, concluding))})"


def _chosen(compared: _Compared, names: Sequence[str], *, unlike: bool) -> str:
    return f"{compared.within} and {_hashed(names)} in (from unlike)" if unlike else compared.within


def _lists(compared: _Compared, table: Table, side: str, *, unlike: bool) -> str:
    """Per item: its elements in AWS's order with all columns, with the shared ones as JSON, and as a sorted bag."""
    contract = compared.contract
    places = sql.listed(key for key in table.key if key not in (*_SCOPE, *contract.parent_key))
    names = ", ".join(
        f"{sql.quoted(p)} as {sql.quoted(k)}" for p, k in zip(contract.parent_key, contract.item_key, strict=True)
    )
    in_order = f"list_grade_up(list(row({places})))"  # in half the time of list(... order by ...)
    whole, shared = _object(compared.known(table, side)), _object(compared.shared(table))
    return f"""
        select {sql.listed(_SCOPE)}, {names},
            list_select(list({whole}), {in_order}) as whole,
            to_json(list_select(list({shared}), {in_order}))::varchar as shared,
            list_sort(list(to_json({shared})::varchar)) as bag
        from {compared.rows(table, side)} where {_chosen(compared, contract.parent_key, unlike=unlike)}
        group by all
    """


def _whole_items(compared: _Compared, change: str, source: str, condition: str) -> str:
    """One row per item with all of it as JSON: in new_value where it appeared, in old_value where it went."""
    side = "new" if change in ("first_seen", "created") else "old"
    value = _item(compared, side)
    old, new = ("null", value) if side == "new" else (value, "null")
    observed, previous = _MOMENTS[change]
    return f"""
        select {sql.listed(compared.key)}, '{change}' as change, null as column_name, {old}::varchar as old_value,
            {new}::varchar as new_value, {observed} as observed_at, {previous}::timestamptz as previous_observed_at
        from {source} where {condition}
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


def _places(compared: _Compared, staging: Staging) -> str:
    """Which column of which item stands in quarantine, in either snapshot: a path at, above or below its source."""
    contract = compared.contract
    sources = [(c.name, c.source) for c in contract.item_table.own]
    sources += [(t.name, (t.each or "").replace("[]", "")) for t in contract.child_tables]
    known = ", ".join(f"({sql.literal(name)}, {sql.literal(source)})" for name, source in sources)
    bad = " union all ".join(
        f"select resource, account_id, region, item_name, level, path from {source}"
        for source in (staging.query("new_quarantine"), staging.query("head_quarantine"))
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
        f"{sql.quoted(t.name)} := {_at(side, t.name + ' whole')}"
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
