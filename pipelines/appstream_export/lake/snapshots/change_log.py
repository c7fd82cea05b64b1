"""The change log: SQL that compares the staged snapshot with the head and returns the changes that answers prove.

Scopes are compared in batches, so that memory does not grow with their number. A first pass finds the items that
differ: per item, it adds the 64-bit hashes of the new side's rows and subtracts those of the old side, so that equal
sides add up to 0. A child table is thus compared as a multiset, and about one change in 10^18 goes undetected. A second
pass joins only the items that differ, by key. It writes values as text (see `_render_text_value`), and a child table as
a JSON list in AWS's order. A scope that begins or ends has rows on one side only; they are written without a
comparison. A column proves no change if either snapshot lacks it, or if the item's value of it is in quarantine.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from appstream_export.contracts import MAP, Column, Contract, Table
from appstream_export.lake.duckdb import join_identifiers, quote_identifier, quote_literal
from appstream_export.lake.snapshots.task_transitions import ChangeScope, Decision
from appstream_export.lake.snapshots.workspace import CommitWorkspace, render_item_name_sql
from appstream_export.model import Task

BATCH_ITEMS = 100_000  # items compared at once, old and new together; a scope is never split
WHOLE_ITEM_WEIGHT = 10  # a whole item takes as much memory as this many compared items
_SCOPE = ("account_id", "region")
_SIDE_PREFIXES = {
    "new": "fresh",
    "old": "head",
}  # prefixes of workspace queries; not "new", because an answer that proves changes is never discarded
_TWO_SIDED_KINDS = (ChangeScope.SEEN, ChangeScope.ALL)
_EMPTY_LISTS = {"whole": "[]", "shared": "'[]'", "bag": "[]::varchar[]"}  # lists of an item without children
_TIME_COLUMNS = {  # SQL for observed_at and previous_observed_at in the row of a whole item
    "first_seen": ("new_observed_at", "null"),
    "created": ("new_observed_at", "coalesce(old_observed_at, previous_at)"),
    "deleted": ("coalesce(new_observed_at, answered_at)", "old_observed_at"),
    "ended": ("old_answered_at", "old_observed_at"),
}


class _Comparison:
    """The comparable part of a contract: columns that the staged snapshot and the head have with the same type."""

    def __init__(self, contract: Contract, workspace: CommitWorkspace) -> None:
        self.contract, self._workspace = contract, workspace
        self.key = (*_SCOPE, *contract.item_key)
        self.batch_condition = "true"
        """SQL condition for the batch's rows. Files are sorted by account, so it skips most row groups. It excludes
        regions of the first and last account that are in other batches: their items would all look changed."""
        self._head_columns = (
            {name: files.columns for name, files in workspace.base.tables.items()} if workspace.base else {}
        )
        self.is_whole = {"new": True, "old": True}
        """By side: true if all of its rows belong to scopes to compare, so that no filter is needed."""
        self.unlike_children: Sequence[Table] = ()
        """Child tables whose rows differ between the sides."""
        self._filled_tables = {table.name for table in contract.tables if workspace.has_rows(table)}

    def render_rows(self, table: Table, side: str) -> str:
        """Return SQL for a side's rows of the table, in parentheses."""
        return self._workspace.get_query(f"{_SIDE_PREFIXES[side]}_{table.name}")

    def list_shared_columns(self, table: Table) -> list[Column]:
        """Return the source columns that both snapshots have, without the item key, which never differs."""
        known: Mapping[str, str] = self._head_columns.get(table.name, {})
        return [c for c in table.source_columns if known.get(c.name) == c.type and c.name not in self.key]

    def list_comparable_children(self) -> list[Table]:
        """Return the child tables that can be compared."""
        return [table for table in self.contract.child_tables if self.list_shared_columns(table)]

    def is_filled(self, table: Table) -> bool:
        """Return whether either side has a row of the table."""
        return table.name in self._filled_tables

    def list_side_columns(self, table: Table, side: str) -> list[Column]:
        """Return the source columns with which the side's whole items are written."""
        known: Mapping[str, str] = self._head_columns.get(table.name, {})
        return [c for c in table.source_columns if side == "new" or c.name in known]


def stream_change_rows(
    workspace: CommitWorkspace, contract: Contract, decisions: Iterable[Decision], items: Mapping[Task, int]
) -> Iterator[pa.Table]:
    """Yield the rows of the contract's changes table, by key. `items` counts the old and new items of each task."""
    comparison = _Comparison(contract, workspace)
    own = [decision for decision in decisions if decision.task.resource == contract.name]
    concluding = [decision for decision in own if decision.change_scope is not ChangeScope.NOTHING]
    comparison.is_whole = {
        "new": all(d.change_scope in _TWO_SIDED_KINDS for d in own if d.should_use_fresh or d.is_discarded),
        "old": all(d.change_scope in _TWO_SIDED_KINDS for d in own),
    }
    if concluding:
        workspace.con.execute(
            f"create or replace temp table places as {_render_quarantined_columns(comparison, workspace)}"
        )
    for batch in _batch_decisions(concluding, items):
        _create_batch_table(workspace, comparison, batch)
        if parts := _render_batch_changes(workspace, comparison, {decision.change_scope for decision in batch}):
            order = join_identifiers((*comparison.key, "change", "column_name"))
            yield from workspace.stream_row_groups(f"from ({' union all '.join(parts)}) order by {order}")
        workspace.release_memory()


def _render_batch_changes(
    workspace: CommitWorkspace, comparison: _Comparison, kinds: Collection[ChangeScope]
) -> list[str]:
    """Return the queries for the change rows of the scopes in `batch`, whose change scopes are `kinds`."""
    one_sided = (kind for kind in (ChangeScope.FIRST, ChangeScope.END) if kind in kinds)
    parts = [_render_one_sided_changes(comparison, kind) for kind in one_sided]
    if not any(kind in _TWO_SIDED_KINDS for kind in kinds) or not _create_unlike_table(workspace, comparison):
        return parts
    workspace.con.execute(f"create or replace temp table differing as {_render_differing_items(comparison)}")
    return [*parts, *_render_two_sided_changes(workspace, comparison)]


def _batch_decisions(decisions: Iterable[Decision], items: Mapping[Task, int]) -> Iterator[list[Decision]]:
    """Yield batches of consecutive scopes, in order. Only a single scope may exceed BATCH_ITEMS."""
    batch, size = list[Decision](), 0
    for decision in sorted(decisions, key=lambda decision: decision.task.scope):
        weight = items.get(decision.task, 0) * (1 if decision.change_scope in _TWO_SIDED_KINDS else WHOLE_ITEM_WEIGHT)
        size += weight
        if batch and size > BATCH_ITEMS:
            yield batch
            batch, size = [], weight
        batch.append(decision)
    if batch:
        yield batch


def _create_batch_table(workspace: CommitWorkspace, comparison: _Comparison, batch: Sequence[Decision]) -> None:
    """Create the temporary table `batch` with the batch's rows of `tasks`, and set the batch condition."""
    first, last = batch[0].task.scope, batch[-1].task.scope
    # Account ids have 12 digits each, so the order of these texts is the order in which the scopes were divided.
    workspace.con.execute(f"""
        create or replace temp table batch as from tasks
        where resource = {quote_literal(comparison.contract.name)} and change_scope <> 'nothing'
        and account_id || '/' || region between {quote_literal(str(first))} and {quote_literal(str(last))}
    """)
    (begin, begin_region), (end, end_region) = (map(quote_literal, (s.account_id, s.region)) for s in (first, last))
    comparison.batch_condition = f"""account_id between {begin} and {end}
        and not (account_id = {begin} and region < {begin_region} or account_id = {end} and region > {end_region})"""


def _create_unlike_table(workspace: CommitWorkspace, comparison: _Comparison) -> bool:
    """Create the temporary table `unlike` with the hashed keys of items that may differ; return whether it has any.

    These items exist on one side only, or differ in a column or a child table. Colliding hashes add a few equal items,
    which the join of the sides removes.
    """
    contract = comparison.contract
    if not comparison.is_filled(contract.item_table):
        return False
    filled = [table for table in comparison.list_comparable_children() if comparison.is_filled(table)]
    comparison.unlike_children = [
        table for table in filled if workspace.fetch_rows(_render_table_comparison(comparison, table))
    ]
    workspace.con.execute(f"create or replace temp table unlike as {_render_unlike_items(comparison)}")
    return bool(workspace.fetch_rows("select 1 from unlike limit 1"))


def _render_one_sided_changes(comparison: _Comparison, change_scope: ChangeScope) -> str:
    """Return SQL for the changes of scopes with one side only: each of their items is first seen, or has ended."""
    side, change = ("new", "first_seen") if change_scope is ChangeScope.FIRST else ("old", "ended")
    return _render_whole_items(comparison, change, _render_side_items(comparison, side, [change_scope]))


def _render_two_sided_changes(workspace: CommitWorkspace, comparison: _Comparison) -> list[str]:
    """Return a query for each kind of change among the items in `differing`; none for a kind without items."""
    conditions = {
        "created": "side = 'new' or reborn",
        "deleted": "(side = 'old' and change_scope = 'all') or reborn",
        "changed": "side = 'both' and not reborn",
    }
    found = workspace.fetch_rows(
        f"select {', '.join(f'bool_or({is_it})' for is_it in conditions.values())} from differing"
    )
    parts = []
    for (change, condition), is_any in zip(conditions.items(), found[0], strict=True):
        if is_any:
            source = f"from differing where {condition}"
            is_whole = change != "changed"
            parts.append(
                _render_whole_items(comparison, change, source, unlike=True)
                if is_whole
                else _render_column_changes(comparison, source)
            )
    return parts


def _render_unlike_items(comparison: _Comparison) -> str:
    rows = " union all ".join(
        _render_signed_hashes(comparison, table)
        for table in (comparison.contract.item_table, *comparison.unlike_children)
    )
    return f"select item from ({rows}) group by item having sum(content) <> 0"


def _render_table_comparison(comparison: _Comparison, table: Table) -> str:
    """Return SQL with one row if the sides of a child table differ. Most do not, and this is cheaper than per item."""
    return f"select 1 from ({_render_signed_hashes(comparison, table, per_item=False)}) having sum(content) <> 0"


def _render_signed_hashes(comparison: _Comparison, table: Table, *, per_item: bool = True) -> str:
    """Return SQL for the hashes of both sides' rows, those of the old side negative: equal sides add up to 0.

    Without `per_item`, the sum over the whole table is meant, and the item's key is part of the hash.
    """
    names = comparison.contract.item_key if table is comparison.contract.item_table else comparison.contract.parent_key
    only = f" semi join ({_render_batch_scopes(_TWO_SIDED_KINDS)}) using ({join_identifiers(_SCOPE)})"
    own = [quote_identifier(column.name) for column in comparison.list_shared_columns(table)]
    key_hash = [] if per_item else [_render_key_hash(names)]
    # Hashed twice: a sum of single hashes is not random, so that different rows could add up to 0.
    content = f"hash(hash({', '.join((quote_literal(table.name), *key_hash, *own))}))"
    # A hash has 64 bits without a sign. Without its lowest bit it fits into a BIGINT, whose sign is that of the side.
    return " union all ".join(
        f"select {_render_key_hash(names)} as item, {sign} ({content} >> 1)::bigint as content"
        f" from {comparison.render_rows(table, side)}{'' if comparison.is_whole[side] else only}"
        f" where {comparison.batch_condition}"
        for side, sign in (("new", ""), ("old", "-"))
    )


def _render_key_hash(names: Sequence[str]) -> str:
    """Return SQL for the hash of an item's key: the scope and the columns `names`. Different keys may have one hash."""
    return f"hash({join_identifiers((*_SCOPE, *names))})"


def _render_differing_items(comparison: _Comparison) -> str:
    """Return SQL for the items of `unlike` that differ, both sides in one row."""
    item = comparison.contract.item_table
    born = f"new_{item.created_at_column}, old_{item.created_at_column}".split(", ") if item.created_at_column else []
    # The same key with another creation time is a different item: the old one was deleted, the new one created.
    reborn = f"({born[0]} <> {born[1]})" if born else "false"
    # `is distinct from` instead of <>, which is null beside a null: a value that appears or vanishes is a change.
    unlike = [
        f"{_quote_side_column('new', c.name)} is distinct from {_quote_side_column('old', c.name)}"
        for c in comparison.list_shared_columns(item)
    ]
    unlike += [
        f"{_quote_side_column('new', t.name + ' bag')} is distinct from {_quote_side_column('old', t.name + ' bag')}"
        for t in comparison.unlike_children
    ]
    return f"""
        select *, coalesce(both_sides and {reborn}, false) as reborn
        from (
            select *, coalesce(new_change_scope, old_change_scope) as change_scope,
                coalesce(new_answered_at, old_answered_at) as answered_at,
                coalesce(new_previous_at, old_previous_at) as previous_at,
                new_change_scope is not null and old_change_scope is not null as both_sides,
                case when old_change_scope is null then 'new' when new_change_scope is null then 'old'
                    else 'both' end as side
            from ({_render_side_with_children(comparison, "new")})
            full join ({_render_side_with_children(comparison, "old")})
            using ({join_identifiers(comparison.key)})
        )
        where not both_sides or {" or ".join(unlike) or "false"}
    """


def _render_side_with_children(comparison: _Comparison, side: str) -> str:
    items = _render_side_items(
        comparison, side, _TWO_SIDED_KINDS, f"{_render_key_hash(comparison.contract.item_key)} in (from unlike)"
    )
    return _join_child_lists(comparison, side, items, comparison.unlike_children, ("shared", "bag"), unlike=True)


def _render_side_items(
    comparison: _Comparison, side: str, change_scopes: Iterable[ChangeScope], chosen: str = "true"
) -> str:
    """Return SQL for one side's items of the batch's scopes with these change scopes; the side prefixes the columns."""
    item = comparison.contract.item_table
    own = [
        f"i.{quote_identifier(c.name)} as {_quote_side_column(side, c.name)}"
        for c in item.source_columns
        if c.name not in comparison.key
    ]
    turns = [f"t.{name} as {side}_{name}" for name in ("change_scope", "answered_at", "previous_at")]
    return f"""
        select {join_identifiers(comparison.key)}, {", ".join((*own, *turns))}, i.observed_at as {side}_observed_at
        from (from {comparison.render_rows(item, side)} where {comparison.batch_condition} and {chosen}) i
        join ({_render_batch_scopes(change_scopes)}) t using ({join_identifiers(_SCOPE)})
    """


def _join_child_lists(
    comparison: _Comparison, side: str, items: str, tables: Iterable[Table], parts: Sequence[str], *, unlike: bool
) -> str:
    """Return SQL that adds lists of child rows to a query's items, in columns such as `new_T whole`.

    `unlike` says that all items are in the table `unlike`, so that no other child rows are read.
    """
    lists, joins = [], []
    for t in tables:
        found = [(f"{quote_identifier(t.name)}.{part}" if comparison.is_filled(t) else "null", part) for part in parts]
        lists += [
            f"coalesce({value}, {_EMPTY_LISTS[part]}) as {_quote_side_column(side, f'{t.name} {part}')}"
            for value, part in found
        ]
        if comparison.is_filled(t):
            by_item = _render_child_lists(comparison, t, side, unlike=unlike)
            joins.append(
                f"left join ({by_item}) as {quote_identifier(t.name)} using ({join_identifiers(comparison.key)})"
            )
    return f"select {', '.join(('i.*', *lists))} from ({items}) i {' '.join(joins)}"


def _render_batch_scopes(change_scopes: Iterable[ChangeScope]) -> str:
    return f"from batch where change_scope in ({', '.join(map(quote_literal, change_scopes))})"


def _render_child_lists(comparison: _Comparison, table: Table, side: str, *, unlike: bool) -> str:
    """Return SQL for three lists of child rows per item.

    `whole` has all columns and `shared` the shared ones as JSON, both in AWS's order. `bag` has the shared ones sorted.
    """
    contract = comparison.contract
    places = join_identifiers(key for key in table.key if key not in (*_SCOPE, *contract.parent_key))
    names = ", ".join(
        f"{quote_identifier(p)} as {quote_identifier(k)}"
        for p, k in zip(contract.parent_key, contract.item_key, strict=True)
    )
    chosen = f"{_render_key_hash(contract.parent_key)} in (from unlike)" if unlike else "true"
    in_order = f"list_grade_up(list(row({places})))"  # takes half the time of list(... order by ...)
    whole, shared = (
        _render_struct(comparison.list_side_columns(table, side)),
        _render_struct(comparison.list_shared_columns(table)),
    )
    return f"""
        select {join_identifiers(_SCOPE)}, {names},
            list_select(list({whole}), {in_order}) as whole,
            to_json(list_select(list({shared}), {in_order}))::varchar as shared,
            list_sort(list(to_json({shared})::varchar)) as bag
        from {comparison.render_rows(table, side)} where {comparison.batch_condition} and {chosen}
        group by all
    """


def _render_whole_items(comparison: _Comparison, change: str, items: str, *, unlike: bool = False) -> str:
    """Return SQL for a row per item with the item as JSON: in new_value if it appeared, in old_value if it is gone."""
    side = "new" if change in ("first_seen", "created") else "old"
    value = _render_item_json(comparison, side)
    old, new = ("null", value) if side == "new" else (value, "null")
    observed, previous = _TIME_COLUMNS[change]
    whole = _join_child_lists(comparison, side, items, comparison.contract.child_tables, ("whole",), unlike=unlike)
    return f"""
        select {join_identifiers(comparison.key)}, '{change}' as change,
            null as column_name, {old}::varchar as old_value,
            {new}::varchar as new_value, {observed} as observed_at, {previous}::timestamptz as previous_observed_at
        from ({whole})
    """


def _render_column_changes(comparison: _Comparison, items: str) -> str:
    """Return SQL for a row per column in which an item differs, except columns whose value is in quarantine."""
    item = comparison.contract.item_table
    found = [
        _render_difference(
            c.name,
            _render_text_value(c, "old"),
            _render_text_value(c, "new"),
            _quote_side_column("old", c.name),
            _quote_side_column("new", c.name),
        )
        for c in comparison.list_shared_columns(item)
    ]
    # Child tables are compared as sorted bags, because a new order of AWS's list is no change. Values show its order.
    for t in comparison.unlike_children:
        names = [_quote_side_column(side, f"{t.name} {part}") for part in ("shared", "bag") for side in ("old", "new")]
        found.append(_render_difference(t.name, *names))
    key = join_identifiers(comparison.key)
    return f"""
        select {key}, 'changed' as change, column_name, old_value, new_value, new_observed_at as observed_at,
            old_observed_at as previous_observed_at
        from (
            select {key}, item_name, new_observed_at, old_observed_at, unnest(d)
            from (
                select *, {render_item_name_sql(comparison.contract.item_key)} as item_name,
                    unnest([{", ".join(found)}]) as d
                from ({items})
            )
            where d.differs
        )
        anti join places using ({join_identifiers(_SCOPE)}, item_name, column_name)
    """


def _render_difference(name: str, old_text: str, new_text: str, old: str, new: str) -> str:
    return (
        f"{{column_name: {quote_literal(name)}, old_value: {old_text}, new_value: {new_text},"
        f" differs: {old} is distinct from {new}}}"
    )


def _render_quarantined_columns(comparison: _Comparison, workspace: CommitWorkspace) -> str:
    """Return SQL for the items and columns that are in quarantine in either snapshot.

    A column is in quarantine if a quarantined path is its source, contains it, or is inside it.
    """
    contract = comparison.contract
    sources = [*contract.item_sources.items()]
    sources += [(t.name, (t.rows_from or "").replace("[]", "").removesuffix(MAP)) for t in contract.child_tables]
    known = ", ".join(f"({quote_literal(name)}, {quote_literal(source)})" for name, source in sources)
    bad = " union all ".join(
        f"select resource, account_id, region, item_name, level, path from {source}"
        for source in (workspace.get_query("new_quarantine"), workspace.get_query("head_quarantine"))
    )
    return f"""
        select distinct account_id, region, item_name, column_name
        from (select *, regexp_replace(path, '\\[[0-9]+\\]', '', 'g') as place from ({bad})) q
        join (values {known}) as c(column_name, source)
        on place = source or starts_with(source, place || '.') or starts_with(place, source || '.')
        where resource = {quote_literal(contract.name)} and level <> 'item' and item_name is not null
    """


def _render_item_json(comparison: _Comparison, side: str) -> str:
    """Return SQL for a whole item as JSON text: its source columns, then its child tables."""
    contract = comparison.contract
    fields = [f"{quote_identifier(key)} := {quote_identifier(key)}" for key in contract.item_key]
    fields += [
        f"{quote_identifier(c.name)} := {_render_json_value(c, _quote_side_column(side, c.name))}"
        for c in comparison.list_side_columns(contract.item_table, side)
        if c.name not in comparison.key
    ]
    fields += [
        f"{quote_identifier(t.name)} := {_quote_side_column(side, t.name + ' whole')}"
        for t in contract.child_tables
        if comparison.list_side_columns(t, side)
    ]
    return f"to_json(struct_pack({', '.join(fields)}))"


def _render_struct(columns: Iterable[Column]) -> str:
    fields = ", ".join(
        f"{quote_identifier(c.name)} := {_render_json_value(c, quote_identifier(c.name))}" for c in columns
    )
    return f"struct_pack({fields})" if fields else "null"


def _render_json_value(column: Column, value: str) -> str:
    return f"iso({value})" if column.type == "timestamp" else value


def _render_text_value(column: Column, side: str) -> str:
    """Return SQL for a value as text: times in ISO 8601, booleans as true and false, numbers as DuckDB prints them."""
    value = _quote_side_column(side, column.name)
    return f"iso({value})" if column.type == "timestamp" else f"{value}::varchar"


def _quote_side_column(side: str, name: str) -> str:
    return quote_identifier(f"{side}_{name}")
