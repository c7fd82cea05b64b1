"""Tables of facts in `bi.duckdb`: those of past months are copied from a file that is kept, and never changed.

The kept file has one table for each fact, with the rows of all months before the snapshot's, and no row was ever
updated in it or deleted from it. So `bi.duckdb` begins as its copy, and the rows of the newest month are added: no
block of it holds an earlier value. If any of its months has changed, the file is made again from the parts.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import check_columns
from appstream_export.feeds.generations import GenerationStore
from appstream_export.feeds.parts import FactPlan, get_part_month, read_part, render_part_query
from appstream_export.feeds.relations import render_column_definitions
from appstream_export.lake.catalog import FeedConnection, get_feed_table_name

_KEPT_NAME = "bi_duckdb"


def create_table(connection: FeedConnection, feed: Feed, query: str) -> str:
    """Create a feed's table from a query and return its SQL name; raises ContractError if its columns are wrong."""
    docs = {column.name: column.doc for column in feed.columns}
    if feed.required:
        check_columns(feed, connection.describe_columns(query))
    table = connection.create_table(feed.name, query, feed.doc, docs, declared=render_column_definitions(feed))
    check_columns(feed, connection.describe_columns(f"from {table}"))
    return table


def fill_fact(connection: FeedConnection, generations: GenerationStore, plan: FactPlan) -> str:
    """Add the rows of all months that the fact's table lacks, create it if there is none, and return its SQL name."""
    return _add_months(connection, generations, plan, sorted(plan.keys))


def write_past(connection: FeedConnection, generations: GenerationStore, plans: Sequence[FactPlan], file: Path) -> None:
    """Write a DuckDB file with the facts of past months, if parts are kept and there are such months."""
    kept, newest = connection.kept_parts, connection.as_of.strftime("%Y-%m")
    past = [_list_past_months(connection, plan) for plan in plans]
    if kept is None or not any(past):
        return remove_kept_past(connection)
    key = _compute_key(connection, plans, past)
    if not kept.fetch_file(_KEPT_NAME, newest, key, file):
        with connection.attach_output_file(str(file)):
            for plan, months in zip(plans, past, strict=True):
                _add_months(connection, generations, plan, months)
        kept.write_file(_KEPT_NAME, newest, key, file)
    for plan, months in zip(plans, past, strict=True):
        plan.months_in_table = frozenset(months)


def remove_kept_past(connection: FeedConnection) -> None:
    """Remove the kept files with the facts of past months: no publication reads them any more."""
    if kept := connection.kept_parts:
        kept.remove_files(_KEPT_NAME)


def _list_past_months(connection: FeedConnection, plan: FactPlan) -> list[str]:
    """Return the months before the newest, without the first of a limited history, which is cut each day."""
    as_of, limit = connection.as_of, plan.feed.find_first_day(connection.as_of)
    first = get_part_month(plan.feed, limit, as_of) if limit else ""
    newest = get_part_month(plan.feed, as_of.date(), as_of)
    return sorted(month for month in plan.keys if first < month < newest)


def _compute_key(connection: FeedConnection, plans: Sequence[FactPlan], past: Sequence[Sequence[str]]) -> str:
    lines = [connection.engine_version]
    for plan, months in zip(plans, past, strict=True):
        feed = plan.feed
        docs = [column.doc for column in feed.columns]
        lines += [
            feed.name,
            feed.doc,
            *render_column_definitions(feed),
            *docs,
            *(f"{month} {plan.keys[month]}" for month in months),
        ]
    return sha256("\n".join(lines).encode()).hexdigest()


def _add_months(connection: FeedConnection, generations: GenerationStore, plan: FactPlan, months: Sequence[str]) -> str:
    """Add the rows of those months that the table lacks, the oldest first."""
    feed, table, present = plan.feed, get_feed_table_name(plan.feed.name), plan.months_in_table
    missing = [month for month in plan.missing if month in months and month not in (present or ())]
    query = f"{render_part_query(connection, feed, missing)}{feed.order}"
    reused = [part for part in plan.reused if part.month in months and part.month not in (present or ())]
    if present is None:
        create_table(connection, feed, f"from ({query}) limit 0" if reused else query)
    for part in reused:
        for rows in read_part(generations, feed, part):
            connection.insert_rows(table, rows)
    if missing and (present is not None or reused):
        connection.insert_rows(table, query)
    return table
