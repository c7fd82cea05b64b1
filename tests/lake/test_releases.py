"""A warehouse that a released version wrote by whole exports, feeds included, is read, verified and exported to.

`goldens/release_X` is the folder of a small export as version X left it after two runs (without its DuckDB files, which
each run writes again); `goldens/release_X.json` has the rows that this version gave. Both stay as they are.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from appstream_export.emulator import Emulator, make_image_builder
from appstream_export.feeds import verify_feeds
from appstream_export.lake.catalog import run_query
from appstream_export.lake.maintenance import verify_warehouse
from appstream_export.lake.storage import open_store
from tests.export import Export

GOLDENS = Path(__file__).parent / "goldens"
A, B = "111122223333/eu-west-1", "111122223333/us-east-1"
C, D = "444455556666/eu-west-1", "444455556666/us-east-1"
TABLES = (
    "image_builders_history",
    "image_builder_subnets_history",
    "image_builder_security_groups_history",
    "image_builder_errors_history",
    "image_builder_changes_history",
    "scope_runs_history",
    "snapshots",
    "accounts",
    "prices",
    "quarantine_history",
    "drift_history",
    "image_builder_state_spans",
)


def rows(export: Export, table: str) -> list[dict[str, Any]]:
    """All rows of a table, as JSON has them."""
    found = run_query(export.connect(), f"select * from {table} order by all").to_pylist()
    return json.loads(json.dumps(found, default=str))


@pytest.fixture(params=["0.3.0"])
def released(request: pytest.FixtureRequest, export: Export) -> tuple[Export, dict[str, list[dict[str, Any]]]]:
    """An export whose folder is a copy of a release's, and the rows that the release gave, by table."""
    folder = GOLDENS / f"release_{request.param}"
    shutil.copytree(folder, export.folder, symlinks=True, dirs_exist_ok=True)
    feeds = {"publish": True, "report": False, "prices": "prices.csv", "account_labels": ["team"]}
    export.more = {"account_labels_file": "accounts.csv", "feeds": feeds}
    return export, json.loads((GOLDENS / f"release_{request.param}.json").read_text("utf-8"))


@pytest.mark.slow
def test_a_warehouse_of_every_release_gives_the_rows_that_the_release_gave(
    released: tuple[Export, dict[str, list[dict[str, Any]]]],
) -> None:
    export, expected = released

    for table in TABLES:
        today = [
            {column: row[column] for column in was}
            for row, was in zip(rows(export, table), expected[table], strict=True)
        ]
        assert today == expected[table], table
    assert verify_warehouse(open_store(export.warehouse)).problems == ()


@pytest.mark.slow
def test_an_export_goes_on_in_a_warehouse_of_every_release(
    released: tuple[Export, dict[str, list[dict[str, Any]]]], aws: Emulator
) -> None:
    export, expected = released
    stale = "select name, state, observed_at from image_builders where is_stale"
    before = export.sql(stale)
    aws.put(A, make_image_builder("cad-01", scope=A, complete=True, State="FAILED"))
    aws.put(B, make_image_builder("cad-03", scope=B, State="STOPPED"))
    aws.fail(D, "deny")

    export.run()

    assert export.sql("select seq from snapshots order by seq") == [1, 2, 3]
    assert before == export.sql(stale) != []
    assert {("cad-01", "changed", "state"), ("gis-02", "deleted", None)} <= {*export.changes()}
    older = rows(export, "(select * from image_builders_history join snapshots using (snapshot_id) where seq < 3)")
    assert [row["name"] for row in older] == [row["name"] for row in expected["image_builders_history"]]
    assert verify_warehouse(open_store(export.warehouse)).problems == ()
    assert verify_feeds(open_store(export.warehouse)) == []
