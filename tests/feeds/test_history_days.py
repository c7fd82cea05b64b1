"""`[feeds] history_days` limits the feeds that grow with the history, and no others."""

import json
from pathlib import Path

import duckdb
import pytest

from appstream_export.errors import ContractError
from appstream_export.feeds import publish_feeds
from appstream_export.feeds.contract_feeds import AS_OF, SNAPSHOT, Column, Feed
from appstream_export.feeds.definitions import check_feed, limit_history
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import A, Lake, builder, ok

GROWING = ("image_builder_daily", "image_builder_state_spans", "image_builder_changes", "export_runs")


def count_rows(lake: Lake) -> dict[str, int]:
    """Rows of all feeds by name."""
    with duckdb.connect(str(Path(lake.store.root, "feeds", "v1", "bi.duckdb")), read_only=True) as con:
        names = [name for (name,) in con.sql("select table_name from duckdb_tables()").fetchall()]
        return {name: con.sql(f"select count(*) from {name}").fetchall()[0][0] for name in names}


@pytest.mark.slow
def test_only_feeds_that_grow_with_the_history_are_limited_and_say_so(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    for day, state in enumerate(("RUNNING", "STOPPED", "STOPPED")):
        lake.commit_at(24 * day, ok(A, builder("a", state=state), builder("b", state="STOPPED")))
    publish_feeds(lake.store, lake.contracts)
    whole = count_rows(lake)
    published = publish_feeds(lake.store, lake.contracts, FeedsSettings(history_days=1))
    limited = count_rows(lake)

    assert {name: (whole[name], limited[name]) for name in whole if whole[name] != limited[name]} == {
        "image_builder_daily": (6, 4),
        "image_builder_state_spans": (3, 2),
        "image_builder_changes": (3, 1),
        "export_runs": (3, 2),
    }
    assert published.rows == limited
    folder = Path(lake.store.root, "feeds", "v1")
    package = json.loads((folder / published.current.datapackage).read_text())
    said = {r["name"]: "history_days limits it to 1 days" in r["description"] for r in package["resources"]}
    assert {name for name, is_said in said.items() if is_said} == {*GROWING}


def test_a_history_that_is_no_column_of_times_is_refused() -> None:
    columns = (Column("k", "VARCHAR", "Key."), AS_OF, SNAPSHOT)
    feed = Feed("mine", "One row.", columns, "k", "select 1", history="k")

    with pytest.raises(ContractError, match="feed mine: history: k is no column of dates or times"):
        check_feed(feed)
    assert limit_history(Feed("mine", "One row.", columns, "k", "select 1"), 3).sql == "select 1"
