"""The feeds of `feeds/v2`: a star of dimensions (`dim_*`), facts (`fact_*`) and newest states (`<item>_latest`).

Its files are in sql/feeds/v2/. Contracts without such files have `<item>_latest`, `fact_<item>_change` and a feed for
each of their lists; feeds of users are as in v1. Every key that leads to a dimension is in it: dimensions of accounts,
regions and days are built from all tables and change logs that other feeds read.
"""
# ruff: noqa: S608 - names come from checked contracts and headers, values are quoted by lake/duckdb.py

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from appstream_export.contracts import (
    STAR_FOLDER,
    Column,
    Contract,
    SqlFile,
    list_sql_files,
    load_sql_files,
    strip_header,
)
from appstream_export.errors import SettingsError
from appstream_export.feeds.contract_feeds import COVERAGE, Feed, build_contract_feeds
from appstream_export.feeds.definitions import (
    FEED_STATUS,
    STAMPS,
    add_label_columns,
    build_feeds,
    build_file_feed,
    check_feed,
    map_label_columns,
)
from appstream_export.feeds.generations import V1
from appstream_export.lake.duckdb import quote_identifier, quote_literal
from appstream_export.settings import FeedsSettings

FACT = "fact_"
LATEST = "_latest"
"""End of the names of feeds with the newest state of items."""
DIM_SCOPE, DIM_ACCOUNT, DIM_REGION, DIM_LIFE = "dim_scope", "dim_account", "dim_region", "dim_image_builder"
DIMENSIONS: Mapping[str, str] = {
    "account_id": DIM_ACCOUNT,
    "region": DIM_REGION,
    "day": "dim_date",
    "resource": "dim_resource",
    "image_builder_life_key": DIM_LIFE,
}
"""The dimension that each key leads to, in any feed of the export."""
FEED_SCOPES = "feed_scopes"
"""The table that dimensions read, which a publication makes once: see `render_feed_scopes`."""
_TAGS_TABLE = "resource_tags"
_LAST_TAGS_SQL = """
with answers as (
    select
        account_id,
        region,
        arn,
        case
            when change in ('first_seen', 'created') then json_extract(new_value, '$.resource_tags')::varchar
            when change = 'changed' then new_value
        end as tags,
        utc(coalesce(observed_at, snapshot_at)) as answered_at_utc,
        lead(answered_at_utc) over (partition by account_id, region, arn order by answered_at_utc) as next_at_utc
    from {changes}
    where change <> 'changed' or column_name = 'resource_tags'
),

-- Tags are requested after image builders: an answer before the one that showed the end is of this life.
ended as (
    select
        *,
        case
            when ended_by in ('deleted', 'changed') then ended_observed_at_utc
            else lead(first_observed_at_utc) over (partition by image_builder_key order by life)
        end as before_utc
    from lives
    qualify not is_current
),

known as (
    select
        e.image_builder_life_key,
        a.tags
    from ended as e
    inner join answers as a on e.account_id = a.account_id and e.region = a.region and e.arn = a.arn
    where
        a.tags is not null
        and coalesce(a.answered_at_utc < e.before_utc, true)
        and coalesce(a.next_at_utc > e.first_observed_at_utc, true)
    qualify row_number() over (partition by e.image_builder_life_key order by a.answered_at_utc desc) = 1
)

select
    k.image_builder_life_key,
    json_group_object(u.tag.tag_key, u.tag.tag_value)::varchar as tags_json
from known as k
cross join unnest(from_json(k.tags, '[{{"tag_key": "VARCHAR", "tag_value": "VARCHAR"}}]')) as u (tag)
group by k.image_builder_life_key
"""
_CHANGED_VALUES: Mapping[str, Column] = {
    name: Column(name, "VARCHAR", f"Value {when}, as text, null when absent; null for the whole item.")
    for name, when in (("old_value", "before"), ("new_value", "after"))
}
"""Columns of changes in v2. Items are no text in a cell there: `image_builder_changes` of the warehouse has them."""
_DAY = Column("day", "DATE", "Day of observed_at_utc, or of changed_in_snapshot_utc where that is null.")


def build_star_feeds(contracts: Sequence[Contract], labels: Sequence[str], tags: Sequence[str] = ()) -> list[Feed]:
    """Return the feeds of `feeds/v2`, sorted by name, `feed_status` last.

    Raises ContractError if a feed breaks the rules of feeds, SettingsError if a label or tag cannot become a column.
    """
    label_columns, tag_columns = map_label_columns(labels), map_tag_columns(tags)
    tagged = next((c for c in contracts if _TAGS_TABLE in {table.name for table in c.tables}), None)
    if tags and not tagged:
        raise SettingsError("[feeds] tags: the resource tags is off", fix="add it to [contracts] resources")
    feeds = []
    for feed in {feed.name: feed for feed in _list_feeds(contracts)}.values():
        if feed.name == DIM_ACCOUNT or feed.name.endswith(LATEST):
            feed = add_label_columns(feed, label_columns)
        if tagged and feed.name == DIM_LIFE:
            feed = _add_tag_columns(feed, tag_columns, f"{tagged.changes_table.name}_history")
        elif tagged and "arn" in {column.name for column in feed.columns}:
            feed = _add_tag_columns(feed, tag_columns)
        feeds.append(check_feed(_replace_time_names(_convert_decimals(feed))))
    return sorted(feeds, key=lambda feed: (feed.name == FEED_STATUS, feed.name))


def build_version_feeds(version: str, contracts: Sequence[Contract], settings: FeedsSettings) -> list[Feed]:
    """Return the feeds of v1 or v2; raises ContractError or SettingsError."""
    if version == V1:
        return build_feeds(contracts, settings.account_labels)
    return build_star_feeds(contracts, settings.account_labels, settings.tags)


def map_tag_columns(tags: Iterable[str]) -> dict[str, str]:
    """Return keys of tags by the name of their column: `tag_cost_centre` for "Cost Centre"; raises SettingsError."""
    return map_label_columns(tags, setting="tags", prefix="tag")


def _list_feeds(contracts: Sequence[Contract]) -> Iterator[Feed]:
    """Yield the feeds of contracts, then those of files, which replace them, with their keys."""
    shared = [file for file in list_sql_files(contracts, "feeds") if file.name == FEED_STATUS]
    files = [*shared, *list_sql_files(contracts, STAR_FOLDER)]
    replaced = {file.replaces for file in files}
    latest = {c.item_table.name: f"{c.item_name}{LATEST}" for c in contracts}
    items = {c.join_key_name: c.item_table.name for c in contracts}
    for contract in contracts:
        feeds = (feed for feed in _build_contract_star(contract) if feed.name not in replaced)
        yield from (_add_relations(_set_fact(feed), latest, DIMENSIONS) for feed in feeds)
    for file in _list_own_files(contracts):
        feed = build_file_feed(file, items)
        # Its keys may be of any source, unless it shows current rows.
        dimensions = {"account_id": DIM_ACCOUNT, "region": DIM_REGION} if feed.foreign_keys else {}
        yield _add_relations(feed, latest, dimensions, required=())
    for file in files:
        yield _add_relations(_set_fact(build_file_feed(file, items)), latest, DIMENSIONS)


def _list_own_files(contracts: Sequence[Contract]) -> list[SqlFile]:
    """Return the user's files of feeds."""
    packaged = {file.name for file in load_sql_files("feeds")}
    return [file for file in list_sql_files(contracts, "feeds") if file.name not in packaged]


def _build_contract_star(contract: Contract) -> Iterator[Feed]:
    """Yield the feeds of a contract in v1 under their names in v2; changes have the day that leads to dim_date."""
    names = {
        contract.item_table.name: f"{contract.item_name}{LATEST}",
        contract.changes_table.name: f"fact_{contract.item_name}_change",
    }
    for feed in build_contract_feeds(contract):
        docs = (column.doc.replace(f"key of {COVERAGE}", f"key of {DIM_SCOPE}") for column in feed.columns)
        columns, query = tuple(map(_set_doc, feed.columns, docs)), feed.sql
        if feed.name == contract.changes_table.name:
            columns = (*(_CHANGED_VALUES.get(c.name, c) for c in columns if c.name not in STAMPS), _DAY)
            day = "coalesce(observed_at_utc, changed_in_snapshot_utc)::date"
            values = ", ".join(f"case when change = 'changed' then {name} end as {name}" for name in _CHANGED_VALUES)
            query = f"select q.* exclude ({', '.join(STAMPS)}) replace ({values}), {day} as day from ({feed.sql}) as q"
        yield replace(feed, name=names.get(feed.name, feed.name), columns=columns, sql=query)


def render_feed_scopes(contracts: Sequence[Contract]) -> str:
    """Return a query of each account and region that any feed names, with the first and the last day of its rows.

    `is_covered` says whether the newest snapshot covers it. Days are null where AWS never answered.
    """
    moments = "observed_at as first_at, observed_at as last_at"
    parts = [f"select account_id, region, true as is_covered, {moments} from scope_runs"]
    for contract in contracts:
        parts.append(_render_scopes_of(quote_identifier(contract.item_table.name), "observed_at"))
        changes = quote_identifier(f"{contract.changes_table.name}_history")
        parts.append(_render_scopes_of(changes, "coalesce(observed_at, snapshot_at)"))
    return (
        "select account_id, region, bool_or(is_covered) as is_covered, utc_day(min(first_at)) as first_day,"
        f" utc_day(max(last_at)) as last_day from ({' union all '.join(parts)}) group by account_id, region"
    )


def insert_feed_scopes(feed: Feed, contracts: Sequence[Contract]) -> Feed:
    """Return the feed with the query of `feed_scopes` in its own, so that it reads only tables of the warehouse."""
    if FEED_SCOPES not in feed.reads:
        return feed
    query = f"with {FEED_SCOPES} as (\n{render_feed_scopes(contracts)}\n)\nselect * from (\n{strip_header(feed.sql)}\n)"
    tables = [name for c in contracts for name in (c.item_table.name, f"{c.changes_table.name}_history")]
    return replace(feed, sql=query, reads=(*feed.reads, "scope_runs", *tables))


def _render_scopes_of(table: str, moment: str) -> str:
    return (
        f"select account_id, region, false as is_covered, min({moment}) as first_at, max({moment}) as last_at"
        f" from {table} group by account_id, region"
    )


def _add_relations(
    feed: Feed, latest: Mapping[str, str], dimensions: Mapping[str, str], required: Iterable[str] | None = None
) -> Feed:
    """Return the feed with foreign keys to `dimensions`, and to the newest states that it leads to in v1.

    Columns that are not `required` may be null; by default, no key may.
    """
    names = {column.name for column in feed.columns} - {feed.key}
    found = {key: {COVERAGE: DIM_SCOPE, **latest}[to] for key, to in feed.foreign_keys.items()}
    found |= {key: to for key, to in dimensions.items() if key in names}
    stamps = () if feed.is_fact else STAMPS
    needed = frozenset({feed.key, *stamps, *(found if required is None else required)})
    return replace(feed, foreign_keys=found, required=needed, has_zone=True)


def _add_tag_columns(feed: Feed, tags: Mapping[str, str], changes: str | None = None) -> Feed:
    """Return the feed with all tags as JSON, and those that the settings name as columns.

    With `changes`, a change log of tags, rows of lives that have ended have the tags that were known last.
    """
    paths = {name: quote_literal(f'$."{key}"') for name, key in tags.items()}
    selected = "".join(
        f", json_extract_string(tags_json, {path}) as {quote_identifier(name)}" for name, path in paths.items()
    )
    current = (
        "left join (select account_id, region, tagged_resource_arn, json_group_object(tag_key, tag_value)::varchar as"
        f" tags_json from {_TAGS_TABLE} group by all) as t"
        " on q.account_id = t.account_id and q.region = t.region and q.arn = t.tagged_resource_arn"
    )
    query, when, reads = f"select q.*, t.tags_json from ({feed.sql}\n) as q {current}", "", (_TAGS_TABLE,)
    if changes:
        query = (
            f"with lives as ({feed.sql}\n) select q.*, coalesce(t.tags_json, g.tags_json) as tags_json from lives as q"
            f" {current} and q.is_current left join ({_LAST_TAGS_SQL.format(changes=quote_identifier(changes))}) as g"
            " on q.image_builder_life_key = g.image_builder_life_key"
        )
        when, reads = ", as last known", (_TAGS_TABLE, changes)
    added = (
        Column("tags_json", "VARCHAR", f"Its tags as a JSON object{when}; null if none."),
        *(Column(name, "VARCHAR", f"Tag {key}{when}; null if it has none.") for name, key in tags.items()),
    )
    query = f"select *{selected} from ({query})"
    return replace(feed, columns=(*feed.columns, *added), sql=query, reads=(*feed.reads, *reads))


def _convert_decimals(feed: Feed) -> Feed:
    """Return the feed with DOUBLE for DECIMAL: some clients read a decimal without its scale."""
    decimals = [column.name for column in feed.columns if column.type.startswith("DECIMAL")]
    if not decimals:
        return feed
    casts = ", ".join(f"{name}::double as {name}" for name in map(quote_identifier, decimals))
    columns = tuple(replace(c, type="DOUBLE") if c.name in decimals else c for c in feed.columns)
    return replace(feed, columns=columns, sql=f"select * replace ({casts}) from ({feed.sql}\n)")


def _replace_time_names(feed: Feed) -> Feed:
    """Return the feed with descriptions that name its columns of times as they are here: `observed_at_utc`."""
    names = {column.name.removesuffix("_utc") for column in feed.columns if column.name.endswith("_utc")}
    pattern = re.compile(rf"\b({'|'.join(sorted(names, key=len, reverse=True))})\b")
    columns = tuple(replace(column, doc=pattern.sub(r"\1_utc", column.doc)) for column in feed.columns)
    return replace(feed, columns=columns)


def _set_fact(feed: Feed) -> Feed:
    return replace(feed, is_fact=feed.name.startswith(FACT))


def _set_doc(column: Column, doc: str) -> Column:
    return replace(column, doc=doc)
