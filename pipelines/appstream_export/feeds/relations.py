"""Keys between feeds: declared in `bi.duckdb`, and checked before anything is served."""
# ruff: noqa: S608 - names come from checked contracts and headers

from collections import defaultdict
from collections.abc import Sequence

from appstream_export.errors import ContractError
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.lake.catalog import FeedConnection, get_feed_table_name
from appstream_export.lake.duckdb import quote_identifier, quote_literal


def render_column_definitions(feed: Feed) -> list[str]:
    """Return the columns of a feed's table as SQL; none for a feed that says nothing of nulls.

    The key of a dimension, or of a newest state, is its primary key.
    """
    if not feed.required:
        return []
    return [
        f"{quote_identifier(column.name)} {column.type}"
        + (" primary key" if feed.is_dimension and column.name == feed.key else "")
        + (" not null" if column.name in feed.required else "")
        for column in feed.columns
    ]


def check_foreign_keys(connection: FeedConnection, feeds: Sequence[Feed]) -> None:
    """Raise ContractError if a key of a feed, in the file that is being filled, is not in the feed it leads to."""
    leads = defaultdict[tuple[str, str], list[str]](list)  # one statement for each key of a dimension
    for feed in (feed for feed in feeds if feed.required):
        for column, to in feed.foreign_keys.items():
            name, rows = quote_identifier(column), get_feed_table_name(feed.name)
            query = f"select {quote_literal(feed.name)} as feed, {name} from {rows} where {name} is not null"
            leads[column, to].append(query)
    for (column, to), queries in leads.items():
        name = quote_identifier(column)
        query = (
            f"select feed, any_value({name}), count(distinct {name}) from ({' union all '.join(queries)})"
            f" anti join {get_feed_table_name(to)} using ({name}) group by feed order by feed limit 1"
        )
        for feed_name, example, found in connection.fetch_rows(query):
            raise ContractError(
                f"feed {feed_name}: {found} values of {column} are not in {to}, such as {quote_literal(str(example))}"
            )
