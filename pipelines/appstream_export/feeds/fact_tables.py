"""Tables of facts in `bi.duckdb`: their past parts are copied from a file that is kept, and never changed.

The kept file has one table for each fact, with the rows of all parts before the snapshot's, and no row was ever
updated in it or deleted from it. So `bi.duckdb` begins as its copy, and the rows of the newest part are added: no
block of it holds an earlier value. If any of its parts has changed, the file is made again, and so it is if the served
generation does not name it: nothing else says that its rows are those of the parts.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import check_columns
from appstream_export.feeds.generations import GenerationStore
from appstream_export.feeds.parts import (
    FactPlan,
    PartDays,
    find_cut_part,
    find_part_days,
    read_part,
    render_part_query,
)
from appstream_export.feeds.relations import render_column_definitions
from appstream_export.lake.catalog import FeedConnection, get_feed_table_name
from appstream_export.lake.storage import build_kept_path

_KEPT_NAME = "bi_duckdb"


def create_table(connection: FeedConnection, feed: Feed, query: str) -> str:
    """Create a feed's table from a query and return its SQL name; raises ContractError if its columns are wrong."""
    docs = {column.name: column.doc for column in feed.columns}
    declared = render_column_definitions(feed)
    if declared:  # else its columns would be cast to those of the table
        check_columns(feed, connection.describe_columns(query))
    table = connection.create_table(feed.name, query, feed.doc, docs, declared=declared)
    if not declared:
        check_columns(feed, connection.describe_columns(f"from {table}"))
    return table


def fill_fact(connection: FeedConnection, generations: GenerationStore, plan: FactPlan) -> str:
    """Add the rows of all parts that the fact's table lacks, create it if there is none, and return its SQL name."""
    return _add_parts(connection, generations, plan, sorted(plan.keys))


def write_past(
    connection: FeedConnection,
    generations: GenerationStore,
    plans: Sequence[FactPlan],
    file: Path,
    *,
    served: str | None,
) -> str | None:
    """Write a DuckDB file with the past parts of facts, if files are kept and there are such parts.

    Return the path of the kept file; None if none is kept. It is used again only if the `served` generation names it.
    """
    kept, newest = connection.kept_parts, connection.as_of.strftime("%Y-%m")
    past = [_list_past_parts(connection, plan) for plan in plans]
    if kept is None or not any(past):
        remove_kept_past(connection)
        return None
    key = _compute_key(connection, plans, past)
    used = kept.fetch_file(_KEPT_NAME, newest, key, file, path=served)
    if used is None:
        with connection.attach_output_file(str(file)):
            for plan, parts in zip(plans, past, strict=True):
                _add_parts(connection, generations, plan, parts)
        used = kept.write_file(_KEPT_NAME, newest, key, file)
    for plan, parts in zip(plans, past, strict=True):
        plan.days_in_table = frozenset(parts)
    return build_kept_path(*used) if used else None


def remove_kept_past(connection: FeedConnection) -> None:
    """Remove the kept files with the past parts of facts: no publication reads them any more."""
    if kept := connection.kept_parts:
        kept.remove_files(_KEPT_NAME)


def _list_past_parts(connection: FeedConnection, plan: FactPlan) -> list[PartDays]:
    """Return the parts before the newest, without the first of a limited history, which is cut each day."""
    cut, as_of = find_cut_part(connection, plan.feed), connection.as_of
    newest = find_part_days(plan.feed, as_of.date(), as_of)
    return sorted(days for days in plan.keys if days < newest and (cut is None or cut < days))


def _compute_key(connection: FeedConnection, plans: Sequence[FactPlan], past: Sequence[Sequence[PartDays]]) -> str:
    lines = [connection.engine_version]
    for plan, parts in zip(plans, past, strict=True):
        feed = plan.feed
        docs = [column.doc for column in feed.columns]
        lines += [
            feed.name,
            feed.doc,
            *render_column_definitions(feed),
            *docs,
            *(f"{days} {plan.keys[days]}" for days in parts),
        ]
    return sha256("\n".join(lines).encode()).hexdigest()


def _add_parts(
    connection: FeedConnection, generations: GenerationStore, plan: FactPlan, parts: Sequence[PartDays]
) -> str:
    """Add the rows of those parts that the table lacks, the oldest first."""
    feed, table, present = plan.feed, get_feed_table_name(plan.feed.name), plan.days_in_table
    missing = [days for days in plan.missing if days in parts and days not in (present or ())]
    query = f"{render_part_query(connection, feed, missing)}{feed.order}"
    reused = [part for part in plan.reused if part.days in parts and part.days not in (present or ())]
    if present is None:
        create_table(connection, feed, f"from ({query}) limit 0" if reused else query)
    for part in reused:
        for rows in read_part(generations, feed, part):
            connection.insert_rows(table, rows)
    if missing and (present is not None or reused):
        connection.insert_rows(table, query)
    return table
