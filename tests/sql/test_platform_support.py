"""Image builders on platforms whose support ends, by the list of the newest snapshot."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from appstream_export.lake.catalog.named_queries import get_named_query, run_named_query
from tests.lake.lakes import A, Lake, builder, failed, ok

ENDS = {"OLD": datetime(2025, 12, 31, tzinfo=UTC), "SOON": datetime(2026, 6, 1, tzinfo=UTC)}
ROWS = [{"platform": p, "support_ends_on": at, "source_sha256": "0"} for p, at in ENDS.items()]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Builders that AWS returned on 2 January 2026: out of support, soon out of it, and not on the list."""
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, *(builder(p.lower(), platform=p) for p in ("SOON", "OLD", "OTHER"))), platform_support=ROWS)
    return lake


def ask(lake: Lake, days: int) -> list[tuple[str, int]]:
    query = get_named_query("unsupported_platforms")
    return [
        (row["name"], row["days_left"]) for row in run_named_query(lake.con, query, {"days": str(days)}).to_pylist()
    ]


def test_platforms_are_found_whose_support_has_ended_or_ends_soon(lake: Lake) -> None:
    assert ask(lake, 180) == [("old", -2), ("soon", 150)]
    assert ask(lake, 150) == [("old", -2), ("soon", 150)]
    assert ask(lake, 149) == [("old", -2)]


@pytest.mark.slow
def test_each_snapshot_has_the_list_of_its_run(lake: Lake) -> None:
    lake.commit(failed(A), platform_support=ROWS[:1])

    assert lake.sql("select platform from platform_support") == ["OLD"]
    assert lake.sql("select count(*) from platform_support_history") == [3]
