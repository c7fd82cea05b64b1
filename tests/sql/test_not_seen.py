"""`query not_seen` is short enough to read, however many scopes have the same reason."""

from pathlib import Path

from appstream_export.contracts import load_contract_set
from appstream_export.lake.catalog.named_queries import get_named_query
from tests.lake.lakes import Lake, builder, failed, ok

REGIONS = ("eu-west-1", "eu-west-2", "us-east-1")


def test_scopes_of_one_account_that_fail_for_one_reason_are_one_row(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    scopes = [f"111122223333/{region}" for region in REGIONS]
    other = "444455556666/eu-west-1"
    lake.commit(*(ok(scope, builder("a"), builder("b")) for scope in scopes), ok(other))
    lake.commit(*map(failed, scopes), failed(other))
    sql = get_named_query("not_seen", load_contract_set()).sql
    rows = lake.con.execute(sql, {"expected": True}).fetchall()

    assert [row[1:-1] for row in rows] == [
        ("denied", "stale", 3, "eu-west-1 and 2 more", "image_builders", 6),
        ("denied", "stale", 1, "eu-west-1", "image_builders", 0),
    ]
