"""Which snapshot readers see is read from the end of each file, however large the files are."""

import duckdb
import pytest

from appstream_export.feeds.generations import GenerationStore
from appstream_export.feeds.publish import publish_feeds
from appstream_export.feeds.report import publish_report
from appstream_export.feeds.served import load_served_outputs
from appstream_export.lake.catalog.shown import load_catalog_seq
from appstream_export.lake.catalog.summary import summarize_snapshot
from appstream_export.lake.storage.checksum_trailer import (
    TAIL_BYTES,
    add_checksum,
    find_commit_seq,
    find_snapshot_id,
    has_valid_checksum,
    strip_checksum,
)
from appstream_export.settings import Settings
from appstream_export.status import Status
from tests.lake.buckets import Bucket
from tests.lake.lakes import A, B, C, Lake, builder, failed, ok


@pytest.mark.slow
def test_of_a_bucket_only_the_ends_of_files_are_read_to_say_what_they_show(bucket: Bucket) -> None:
    lake = Lake(bucket.place(), s3=bucket.settings)
    made = lake.commit(ok(A, builder("a")))
    publish_feeds(lake.store, lake.contracts)
    publish_report(lake.store, lake.contracts, Settings())
    bucket.calm()
    served = {output.name: output.snapshot_id for output in load_served_outputs(lake.store)}
    read = {seen.key.rpartition("/")[2]: seen.headers.get("Range") for seen in bucket.wire.seen if seen.method == "GET"}

    assert served == dict.fromkeys(("feeds", "bi.duckdb", "feeds v2", "bi.duckdb v2", "report"), made.snapshot_id)
    assert {name: read[name] for name in ("bi.duckdb", "report.html")} == dict.fromkeys(
        ("bi.duckdb", "report.html"), f"bytes=-{TAIL_BYTES}"
    )
    assert all(has_valid_checksum(lake.store.read_bytes(path)) for path in ("feeds/v1/bi.duckdb", "report.html"))


def test_a_trailer_names_a_snapshot_only_in_a_line_of_its_own() -> None:
    snapshot_id = "01J00000000000000000000000"

    assert find_snapshot_id(add_checksum(f"x\nsnapshot {snapshot_id}\n".encode())) == snapshot_id
    assert find_snapshot_id(add_checksum(f"x snapshot {snapshot_id}\n".encode())) is None
    assert find_snapshot_id(f"snapshot {snapshot_id}\n".encode()) is None


def test_a_trailer_names_a_commit_only_in_a_line_of_its_own() -> None:
    assert find_commit_seq(add_checksum(b"x\ncommit 12\n")) == 12
    assert [find_commit_seq(add_checksum(some)) for some in (b"x commit 12\n", b"x\ncommit 12\n\n", b"")] == [None] * 3
    assert find_commit_seq(b"x\ncommit 12\n") is None


@pytest.mark.parametrize("names_commit", [True, False], ids=["its last line", "DuckDB, where it has no such line"])
def test_which_commit_the_catalog_shows_is_read_from(lake: Lake, names_commit: bool) -> None:
    lake.commit(ok(A, builder("a")))
    lake.commit(ok(A, builder("b")))
    lake.publish()
    file = lake.store.root / "warehouse.duckdb"
    content = strip_checksum(file.read_bytes())
    assert content is not None
    before, line, _ = content.rpartition(b"commit 2\n")
    file.chmod(0o600)
    # What DuckDB would have to read is destroyed where it must not be needed.
    file.write_bytes(add_checksum(bytes(len(before)) + b"\n" + line if names_commit else before))

    assert load_catalog_seq(lake.store) == 2


@pytest.mark.slow
def test_feeds_and_summaries_count_no_expected_scope_as_stale_and_say_what_was_discarded(lake: Lake) -> None:
    lake.commit(ok(A, builder("ahead"), minute=50), failed(B, Status.DISABLED), failed(C))
    made = lake.commit(ok(A, builder("now")), failed(B, Status.DISABLED), failed(C), head_seq=1)
    publish_feeds(lake.store, lake.contracts)
    generations = GenerationStore(lake.store, file_mode=0o600)
    current = generations.require_current()
    coverage = generations.load_package(current.name)["coverage"]
    summary = summarize_snapshot(lake.con, lake.contracts, made.snapshot_id)
    file = generations.store.resolve_uri(f"v1/generations/{current.name}/coverage.parquet")
    discarded = dict(duckdb.sql(f"select scope_key, discarded_at_utc from '{file}'").fetchall())

    assert (coverage["stale"], coverage["stale_scopes"]) == (2, [f"image_builders/{scope}" for scope in (A, C)])
    assert summary.stale_scopes == 2
    assert {key for key, moment in discarded.items() if moment} == {f"image_builders/{A}"}
