"""verify: whatever is done to a committed byte is found, and told with the rows that it touches."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appstream_export.lake.maintenance.expire import expire_snapshots
from appstream_export.lake.maintenance.vacuum import vacuum_warehouse
from appstream_export.lake.maintenance.verify import Problem, verify_warehouse
from appstream_export.lake.snapshots.manifest import Manifest, load_head, read_manifest
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.checksum_trailer import HTML_TRAILER, add_checksum
from appstream_export.settings import RetentionSettings
from tests.lake.buckets import Bucket
from tests.lake.lakes import EVERYWHERE, A, B, C, Lake, builder, failed, ok
from tests.lake.stores import Around


@pytest.fixture
def two(lake: Lake) -> Lake:
    """Two snapshots; the second carries the rows of one scope."""
    lake.commit(ok(A, builder("a", subnets=["s"])), ok(C, builder("c")))
    lake.commit(ok(A, builder("a", state="RUNNING", subnets=["s"])), failed(C))
    lake.publish()
    return lake


def put(lake: Lake, path: str, content: bytes) -> None:
    """Write over what lies there, as no part of the export would."""
    if isinstance(lake.store.root, Path):
        (lake.store.root / path).chmod(0o600)
        (lake.store.root / path).write_bytes(content)
    else:
        with lake.store.open_output(path) as sink:
            sink.write(content)


def flipped(content: bytes, place: int) -> bytes:
    """The same with one bit changed."""
    changed = bytearray(content)
    changed[place] ^= 1 << place % 8
    return bytes(changed)


def file_of(lake: Lake, table: str, *, start: str = "fresh", seq: int = 2) -> str:
    """A table's file of a snapshot."""
    files = read_manifest(lake.store, seq).tables[table].files
    return next(file.path for file in files if f"/{start}-" in file.path)


def only(problems: Sequence[Problem]) -> Problem:
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


@EVERYWHERE
def test_a_sound_warehouse_has_no_problem_and_says_how_much_was_read(two: Lake) -> None:
    told: list[tuple[int, int]] = []
    found = verify_warehouse(two.store, progress=lambda done, of: told.append((done, of)))

    assert (found.problems, found.is_sound, found.head, found.snapshots) == ((), True, load_head(two.store), 2)
    assert found.files == len(two.files()) == len(told)
    assert told[-1] == (found.files, found.files)
    assert found.bytes == sum(file.size_bytes for file in two.store.list_all() if file.path.endswith(".parquet"))


@pytest.mark.slow
@EVERYWHERE
@pytest.mark.parametrize(("place", "scopes"), [(0, (C,)), (-1, ())], ids=["readable still", "not readable"])
def test_a_changed_file_is_named_with_its_table_its_scopes_and_its_snapshot(
    two: Lake, place: int, scopes: tuple[str, ...]
) -> None:
    path = file_of(two, "image_builders", start="carried")
    put(two, path, flipped(two.store.read_bytes(path), place))

    found = only(verify_warehouse(two.store).problems)
    assert (found.path, found.table, found.scopes, found.seq, found.snapshot_id) == (
        path, "image_builders", scopes, 2, read_manifest(two.store, 2).snapshot_id
    )  # fmt: skip
    assert str(found) == (
        f"{path}: has changed since it was committed; restore it from a backup"
        f" (image_builders of {scopes[0] if scopes else 'all scopes'} in snapshot 2)"
    )


@pytest.mark.slow
@EVERYWHERE
def test_a_missing_and_a_short_file_are_found(two: Lake) -> None:
    gone, short = file_of(two, "image_builders"), file_of(two, "image_builder_subnets")
    two.store.remove(gone)
    put(two, short, two.store.read_bytes(short)[:-1])

    found = {problem.path: problem.what for problem in verify_warehouse(two.store).problems}
    assert found.keys() == {gone, short}
    assert found[gone] == "is missing; restore it from a backup"
    assert "bytes instead of" in found[short]


@EVERYWHERE
def test_an_older_manifest_that_is_gone_is_a_gap_in_the_chain(two: Lake) -> None:
    two.store.remove(paths.build_manifest_path(1))

    found = verify_warehouse(two.store).problems
    assert str(found[0]) == "commits/000000000001.json: is missing from the chain; restore it from a backup"


@pytest.mark.slow
@EVERYWHERE
def test_the_newest_manifest_that_is_gone_is_missed(two: Lake) -> None:
    two.store.remove(paths.build_manifest_path(2))

    found = only(verify_warehouse(two.store).problems)
    assert (found.path, found.seq, found.is_note) == ("commits/000000000002.json", 2, False)
    assert found.what.startswith("is missing")


@pytest.mark.slow
@EVERYWHERE
def test_all_manifests_that_are_gone_are_missed(two: Lake) -> None:
    for seq in (1, 2):
        two.store.remove(paths.build_manifest_path(seq))

    assert only(verify_warehouse(two.store).problems).seq == 2


@pytest.mark.slow
def test_a_manifest_that_was_exchanged_for_another_sound_one_breaks_the_chain(two: Lake) -> None:
    forged = msgspec.structs.replace(read_manifest(two.store, 1), tool_version="9").add_digest()
    put(two, paths.build_manifest_path(1), forged.encode_json())

    assert only(verify_warehouse(two.store).problems).what.startswith(
        "does not follow from snapshot 1: one of the two was replaced"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("forge", "what"),
    [
        (lambda raw: raw.replace(b'"seq": 1,', b'"seq": 7,'), "is damaged: its content does not match its digest"),
        (lambda raw: raw.replace(b"\n", b"\r\n"), "is not in canonical form, although its content is unchanged"),
        (lambda raw: raw[:-20], "is damaged"),
        pytest.param(lambda _: b"\xff\xfe", "is damaged", marks=pytest.mark.slow),
    ],
    ids=["number", "line ends", "cut", "bytes"],
)
def test_a_changed_manifest_is_found(two: Lake, forge: Callable[[bytes], bytes], what: str) -> None:
    path = paths.build_manifest_path(1)
    put(two, path, forge(two.store.read_bytes(path)))

    found = next(problem for problem in verify_warehouse(two.store).problems if problem.path == path)
    assert found.what.startswith(what)


@pytest.mark.slow
def test_a_file_that_is_not_what_its_manifest_says_is_found(two: Lake) -> None:
    def forged(**changed: Any) -> Manifest:
        manifest = read_manifest(two.store, 2)
        table = manifest.tables["image_builders"]
        files = [msgspec.structs.replace(table.files[0], rows=9), *table.files[1:]]
        tables = manifest.tables | {"image_builders": msgspec.structs.replace(table, **({"files": files} | changed))}
        return msgspec.structs.replace(manifest, tables=tables).add_digest()

    sound = two.store.read_bytes(paths.build_manifest_path(2))
    for manifest, what in (
        (forged(), "has 1 rows, but its manifest says 9"),
        (
            forged(columns={"x": "string"}, files=read_manifest(two.store, 2).tables["image_builders"].files),
            "lacks the column",
        ),
    ):
        put(two, paths.build_manifest_path(2), manifest.encode_json())
        assert any(problem.what.startswith(what) for problem in verify_warehouse(two.store).problems)
    put(two, paths.build_manifest_path(2), sound)


@pytest.mark.slow
def test_every_kind_of_file_tells_each_of_its_bits(two: Lake) -> None:
    """A slice: three bits of a file of each kind. The proofs flip many more."""
    tables = [file_of(two, "image_builders"), file_of(two, "snapshots", start="carried")]
    Path(two.store.resolve_uri(paths.REPORT_FILE)).write_bytes(add_checksum(b"<p>page</p>\n", HTML_TRAILER))
    for path in (*tables, *map(paths.build_manifest_path, (1, 2)), paths.CATALOG_FILE, paths.REPORT_FILE):
        content = two.store.read_bytes(path)
        for place in (0, len(content) // 2, len(content) - 1):
            put(two, path, flipped(content, place))
            assert not verify_warehouse(two.store).is_sound, f"{path}: bit of byte {place}"
        put(two, path, content)
    assert verify_warehouse(two.store).problems == ()


@pytest.mark.slow
def test_a_catalog_of_an_older_snapshot_is_a_note_and_no_problem(two: Lake) -> None:
    two.commit(ok(A), ok(C))
    found = verify_warehouse(two.store)

    assert (found.is_sound, [problem.is_note for problem in found.problems]) == (True, [True])
    assert "shows snapshot 2, but the newest is 3; publish it again with: appstream-export catalog" in str(
        found.problems[0]
    )


@pytest.mark.slow
def test_a_thinned_history_is_sound_before_and_after_its_garbage_is_gone(two: Lake) -> None:
    nothing = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    expire_snapshots(two.store, now=datetime.now(UTC), policy=nothing, tool_version="0")
    assert [problem for problem in verify_warehouse(two.store).problems if not problem.is_note] == []
    gone = file_of(two, "image_builders", seq=1)
    for path in (gone, paths.build_manifest_path(1), paths.build_manifest_path(2)):
        two.store.remove(path)

    assert [problem for problem in verify_warehouse(two.store).problems if not problem.is_note] == []
    kept = read_manifest(two.store, 3).kept["image_builder_changes"][0].files[0].path
    two.store.remove(kept)
    assert [(p.path, p.table, p.seq) for p in verify_warehouse(two.store).problems if not p.is_note] == [
        (kept, "image_builder_changes", 3)
    ]


@pytest.mark.slow
def test_a_damaged_manifest_that_retells_does_not_make_those_missing_that_it_let_go(two: Lake) -> None:
    nothing = RetentionSettings(hourly_days=0, daily_days=0, monthly_months=0)
    expire_snapshots(two.store, now=datetime.now(UTC), policy=nothing, tool_version="0")
    vacuum_warehouse(two.store, two.contracts, now=datetime.now(UTC) + timedelta(hours=1), grace=timedelta())
    path = paths.build_manifest_path(3)
    put(two, path, flipped(two.store.read_bytes(path), 300))

    assert only([problem for problem in verify_warehouse(two.store).problems if not problem.is_note]).path == path


def test_what_lies_about_is_no_problem(two: Lake) -> None:
    two.draft(ok(B, builder("never committed")))
    (two.store.root / "notes.txt").write_text("mine")

    assert verify_warehouse(two.store).problems == ()


class Unreadable(Around):
    """A store with a bad sector under every Parquet file."""

    def read_bytes(self, path: str) -> bytes:
        """Fail."""
        if path.endswith(".parquet"):
            raise OSError(5, "Input/output error", path)
        return self._store.read_bytes(path)


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_looked_at(two: Lake) -> None:
    found = verify_warehouse(Unreadable(two.store)).problems

    assert len(found) == len(two.files())
    assert {problem.what for problem in found} == {"cannot be read: Input/output error"}


@pytest.mark.slow
def test_a_hint_that_lags_behind_is_no_problem(bucket: Bucket) -> None:
    lake = Lake(bucket.place(), s3=bucket.settings)
    for _ in range(2):
        lake.commit(ok(A))
    with lake.store.open_output("commits/head") as sink:
        sink.write(b"000000000001.json")

    assert verify_warehouse(lake.store).problems == ()
