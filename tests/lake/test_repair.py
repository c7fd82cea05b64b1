"""Damaged manifests, and repair: the snapshot before is used unless that could bring back what is to be gone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appstream_export.errors import ManifestDamaged, StorageFailed
from appstream_export.feeds import publish_feeds
from appstream_export.lake.maintenance.erase import erase_account
from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.lake.maintenance.repair import RepairResult, find_announced_seq, repair_warehouse
from appstream_export.lake.maintenance.vacuum import vacuum_warehouse
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.snapshots.manifest import load_head, read_manifest, refuse_missing_rewrite
from appstream_export.lake.storage import paths
from appstream_export.settings import FeedsSettings, RetentionSettings
from tests.lake.buckets import Bucket
from tests.lake.lakes import DAY, EVERYWHERE, A, C, Lake, builder, failed, ok

DAMAGES = {"cut": lambda raw: raw[: len(raw) // 2], "empty": lambda _: b"", "changed": lambda raw: raw[:-9] + b"?" * 9}


def damage(lake: Lake, seq: int, how: str) -> None:
    """Damage a manifest, in place."""
    path = paths.build_manifest_path(seq)
    content = DAMAGES[how](lake.store.read_bytes(path))
    if isinstance(lake.store.root, Path):
        (lake.store.root / path).chmod(0o600)
        (lake.store.root / path).write_bytes(content)
    else:
        lake.store.remove(path)
        assert lake.store.put_if_absent(path, content)


def repaired(lake: Lake, *, dry_run: bool = False) -> RepairResult:
    return repair_warehouse(lake.store, lake.contracts, tool_version="0", dry_run=dry_run)


@pytest.mark.slow
@EVERYWHERE
@pytest.mark.parametrize("how", ["empty", *(pytest.param(how, marks=pytest.mark.slow) for how in ("cut", "changed"))])
def test_the_snapshot_before_a_damaged_newest_manifest_is_used_and_verify_says_so_until_it_is_repaired(
    lake: Lake, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    lake.commit(ok(A, builder("a", state="STOPPED")), ok(C, builder("c")))
    lake.commit(ok(A, builder("a", state="PENDING")), ok(C, builder("c")))
    damage(lake, 2, how)
    made = lake.commit(ok(A, builder("a", state="RUNNING")), failed(C))
    lake.publish()

    assert (made.seq, made.parent_seq, made.parent_digest) == (3, 1, read_manifest(lake.store, 1).digest)
    assert [change[3:] for change in lake.changes()] == [("STOPPED", "RUNNING")]
    assert "is damaged" in caplog.text
    assert [p.seq for p in verify_warehouse(lake.store).problems] == [2]
    assert (repaired(lake).seq, repaired(lake).actions) == (4, ())
    lake.publish()
    assert verify_warehouse(lake.store).problems == ()
    assert lake.store.exists(f"damaged/{paths.build_manifest_path(2)}")
    assert (lake.names(C), lake.sql("select count(*) from image_builders_history where name = 'a'")) == (["c"], [2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "how"), [("erase", "empty"), ("thin", "cut"), pytest.param("erase", "changed", marks=pytest.mark.slow)]
)
def test_no_reader_run_or_repair_goes_past_a_damaged_erase_or_expire(lake: Lake, kind: str, how: str) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("secret")))
    lake.commit(ok(A, builder("a")), ok(C, builder("secret")))
    now, nothing = datetime.now(UTC), RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    if kind == "erase":
        erase_account(lake.store, lake.contracts, C.partition("/")[0], now=now, tool_version="0")
    else:
        expire_snapshots(lake.store, now=now, policy=nothing, tool_version="0")
    lake.publish()
    damage(lake, 3, how)
    before = {stored.path for stored in lake.store.list_all()}
    for act in (lambda: load_head(lake.store), lake.publish, lambda: lake.commit(ok(A))):
        with pytest.raises(StorageFailed, match=rf"damaged.*; it is a commit of kind {kind}"):
            act()
    result = repaired(lake)
    assert (result.seq, result.actions, result.is_whole) == (None, (), False)
    assert {stored.path for stored in lake.store.list_all()} == before

    lake.store.remove(paths.build_manifest_path(3))
    with pytest.raises(ManifestDamaged, match=rf"3\.json is missing.*; it is a commit of kind {kind}"):
        refuse_missing_rewrite(lake.store, find_announced_seq(lake.store))
    assert "is missing" in repaired(lake).remaining[0]


@pytest.mark.slow
def test_repair_names_what_is_lost_and_carries_what_is_not(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("c")))
    lake.commit(ok(A, builder("a")), failed(C))
    for seq, kind in ((1, "fresh"), (2, "carried")):
        for entry in read_manifest(lake.store, seq).tables["image_builders"].files:
            if f"/{kind}-" in entry.path:
                lake.store.remove(entry.path)
    before = {stored.path for stored in lake.store.list_all()}
    told = repaired(lake, dry_run=True)
    assert ({stored.path for stored in lake.store.list_all()}, told.seq) == (before, None)
    assert [line.partition(": ")[2] for line in sorted(told.losses)] == [
        "1 rows of image_builders in snapshot 1",
        "1 rows of image_builders in snapshot 1",
        "1 rows of image_builders in snapshot 2",
    ]

    assert repaired(lake).losses == told.losses
    lake.publish()
    assert verify_warehouse(lake.store).problems == ()
    assert (lake.names(A), lake.names(C), lake.changes()) == (["a"], [], [])
    assert lake.run(C)["rows_lost_at"] is not None
    lake.commit(ok(A, builder("a")), ok(C, builder("c")))
    assert lake.changes() == []
    assert lake.sql("select kind from snapshots order by seq") == ["sweep", "sweep", "sweep", "repair", "sweep"]


@pytest.mark.slow
def test_a_manifest_that_is_damaged_in_the_middle_is_left_out_of_the_history(lake: Lake) -> None:
    for _ in range(3):
        lake.commit(ok(A, builder("a")))
    damage(lake, 2, "cut")
    with pytest.raises(StorageFailed, match="damaged"):
        lake.publish()

    assert repaired(lake).seq == 4
    lake.publish()
    assert verify_warehouse(lake.store).problems == ()
    assert lake.sql("select seq from lake.commits where is_retained order by seq") == [1, 3]


@pytest.mark.slow
def test_publishers_see_a_manifest_of_a_past_month_damaged_or_missing_as_gc_does(lake: Lake) -> None:
    for day in (0, 1, 31, 62):
        lake.commit_at(day * DAY, ok(A, builder("a")))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(versions=("v2",)))
    later = datetime.now(UTC) + timedelta(days=3650)

    def stop_at(problem: str) -> None:
        publishing = lambda: publish_feeds(lake.store, lake.contracts)  # noqa: E731
        for act in (lake.publish, publishing, lambda: vacuum_warehouse(lake.store, lake.contracts, now=later)):
            with pytest.raises(StorageFailed, match=problem):
                act()

    damage(lake, 2, "cut")
    stop_at(r"2\.json is damaged")
    lake.store.remove(paths.build_manifest_path(2))
    stop_at(r"2\.json is missing, although a later commit names it")

    assert repaired(lake).losses == ("commits/000000000002.json is missing: snapshot 2",)
    lake.publish()
    assert verify_warehouse(lake.store).problems == ()
    assert vacuum_warehouse(lake.store, lake.contracts, now=later).files > 0
    assert publish_feeds(lake.store, lake.contracts, FeedsSettings(versions=("v2",)))
    assert lake.sql("select seq from lake.commits where is_retained order by seq") == [1, 3, 4]


@pytest.mark.slow
def test_no_reader_or_repair_goes_past_a_missing_erase(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(C, builder("secret")))
    erase_account(lake.store, lake.contracts, C.partition("/")[0], now=datetime.now(UTC), tool_version="0")
    lake.commit(ok(A, builder("a")))
    lake.store.remove(paths.build_manifest_path(2))
    with pytest.raises(StorageFailed, match=r"2\.json is missing"):
        lake.publish()

    assert "it is a commit of kind erase" in repaired(lake).remaining[0]
    assert repaired(lake).seq is None


def test_gc_waits_for_the_repair(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    lake.commit(ok(A, builder("a")))
    damage(lake, 2, "cut")
    lake.commit(ok(A, builder("a")))
    later = datetime.now(UTC) + timedelta(days=3)
    with pytest.raises(StorageFailed, match="damaged"):
        vacuum_warehouse(lake.store, lake.contracts, now=later)
    repaired(lake)

    assert vacuum_warehouse(lake.store, lake.contracts, now=later).files > 0
    assert lake.names() == ["a"]


def test_there_is_nothing_to_repair_in_a_sound_warehouse(lake: Lake) -> None:
    made = lake.commit(ok(A, builder("a")))

    assert (repaired(lake).seq, repaired(lake).actions, load_head(lake.store)) == (None, (), made)


@pytest.mark.slow
def test_in_a_bucket_the_hint_says_that_the_manifest_of_an_erase_is_missing(bucket: Bucket) -> None:
    lake = Lake(bucket.place(), s3=bucket.settings)
    lake.commit(ok(A, builder("a")), ok(C, builder("secret")))
    erase_account(lake.store, lake.contracts, C.partition("/")[0], now=datetime.now(UTC), tool_version="0")
    lake.store.remove(paths.build_manifest_path(2))

    with pytest.raises(ManifestDamaged, match=r"2\.json is missing.*; it is a commit of kind erase"):
        refuse_missing_rewrite(lake.store, find_announced_seq(lake.store))
