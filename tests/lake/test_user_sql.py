"""A user's SQL is tried in the same isolation as it is published, and a mart that fails spoils no other count."""

import logging
from pathlib import Path

import pytest

from appstream_export.contracts import load_all_contracts, load_contract_set
from appstream_export.feeds import publish_feeds
from appstream_export.lake.catalog import SharedConnection, count_rows, find_user_sql_problems, run_checks
from appstream_export.settings import FeedsSettings
from tests.feeds.stars import table
from tests.lake.lakes import A, Lake, builder, ok

HEADER = "-- x: X.\n-- reads: image_builders\n-- n integer: N.\n"


def find_problems(folder: Path, text: str) -> str:
    (folder / "sql" / "marts").mkdir(parents=True)
    (folder / "sql" / "marts" / "x.sql").write_text(HEADER + text)
    contracts = load_contract_set(sql_folder=folder / "sql")
    return "\n".join(find_user_sql_problems(contracts, load_all_contracts(None)))


def test_users_sql_writes_no_file_while_it_is_tried(tmp_path: Path) -> None:
    written = tmp_path / "written.csv"
    problems = find_problems(tmp_path, f"select 1 as n; copy (select 1) to '{written}'")

    assert not written.exists()
    assert "sql/marts/x.sql: " in problems


def test_users_sql_that_reads_a_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n")

    assert "sql/marts/x.sql: Permission Error" in find_problems(tmp_path, f"select n from '{tmp_path}/rows.csv'")


def test_users_sql_reads_no_python_variable(tmp_path: Path) -> None:
    assert "does not exist" in find_problems(tmp_path, "select 1::integer as n from contracts")


def test_a_view_that_cannot_be_counted_leaves_the_other_counts(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    lake.commit(ok(A, builder("a"), builder("b")))

    with caplog.at_level(logging.WARNING):
        assert count_rows(lake.con, ["image_builders", "lost_mart", "accounts"]) == {"image_builders": 2, "accounts": 1}
    assert "the rows of lost_mart could not be counted" in caplog.text


PAST_SQL = {
    "checks/unnamed.sql": """-- unnamed: Builders without a name.
-- reads: image_builders_history
-- severity: error
select name from Image_Builders_History where name = ''
""",
    "views/past_subnets.sql": """-- past_subnets: One row per subnet and snapshot.
-- reads: image_builder_subnets_history
-- subnet_id varchar: Subnet.
select subnet_id from image_builder_subnets_history
""",
    "marts/first_builders.sql": """-- first_builders: One row per builder of the first day.
-- reads: image_builders_as_of
-- name varchar: Name.
select name from image_builders_as_of('2026-01-02')
""",
    "feeds/past_builders.sql": """-- past_builders: One row per snapshot.
-- reads: image_builders_history, past_subnets, first_builders, feed_snapshot
-- key: counted_in
-- counted_in varchar: Snapshot whose builders are counted.
-- builders bigint: Builders of that snapshot.
-- subnets bigint: Subnets of all snapshots.
-- first_builders bigint: Builders of the first day.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed.
select
    h.snapshot_id as counted_in,
    count(*) as builders,
    (select count(*) from past_subnets) as subnets,
    (select count(*) from first_builders) as first_builders,
    any_value(f.as_of_utc) as as_of_utc,
    any_value(f.snapshot_id) as snapshot_id
from image_builders_history as h cross join feed_snapshot as f
group by h.snapshot_id
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("keeps_parts", [True, False])
def test_users_sql_reads_the_past_of_any_table_where_it_is_published(tmp_path: Path, *, keeps_parts: bool) -> None:
    for name, text in PAST_SQL.items():
        (tmp_path / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sql" / name).write_text(text)
    contracts = load_contract_set(resources=["image_builders"], sql_folder=tmp_path / "sql")
    lake = Lake(tmp_path / "warehouse", contracts=contracts)
    for day in range(3):
        lake.commit_at(24 * day, ok(A, builder("a", subnets=["subnet-1", "subnet-2"])))

    with SharedConnection(lake.store, contracts, keeps_parts=keeps_parts) as shared:
        with shared.open_newest("checks") as con:
            results = {result.name: result.rows for result in run_checks(con, contracts)}
        publish_feeds(lake.store, contracts, FeedsSettings(versions=("v2",)), shared=shared)
    assert results["unnamed"] == 0
    counts = [(row["builders"], row["subnets"], row["first_builders"]) for row in table(lake, "past_builders")]
    assert counts == [(1, 6, 1)] * 3
