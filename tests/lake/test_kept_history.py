"""Manifests of past months in one kept file: the history is that of the manifests, whatever happened to it."""

import random
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from appstream_export.lake.catalog import kept_history
from appstream_export.lake.catalog.kept_parts import KeptParts
from appstream_export.lake.maintenance import verify_warehouse
from appstream_export.lake.snapshots import Manifest, decode_history, encode_history, load_history
from appstream_export.lake.storage import KeptName, Store
from tests.lake.lakes import DAY, A, Lake, at, builder, live_randomly, ok
from tests.lake.stores import Around


@pytest.fixture(autouse=True)
def _few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_history, "_LEAST", 1)


class Reading(Around):
    """A store that notes which manifests are read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.read: list[str] = []

    def read_bytes(self, path: str) -> bytes:
        """Note the path."""
        self.read += [path] if path.startswith("commits/") else []
        return self._store.read_bytes(path)

    def read_files(self, paths):  # noqa: ANN001, ANN201
        """Note the paths."""
        return map(self.read_bytes, paths)


def keep(lake: Lake) -> list[Manifest]:
    """Keep past manifests as a publisher does, and return the history that it loaded."""
    manifests = kept_history.load_publishers_history(lake.store)
    kept = KeptParts(lake.store)
    kept.show_history(manifests)
    kept_history.keep_history(kept, manifests)
    return manifests


def list_kept(lake: Lake) -> list[Path]:
    return sorted(Path(lake.store.root, "kept").rglob("*.msgpack"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two snapshots in each of three months."""
    lake = Lake(tmp_path / "warehouse")
    for day in (0, 1, 31, 32, 62, 63):
        lake.commit_at(day * DAY, ok(A, builder("a")))
    return lake


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_history_is_that_of_the_manifests_after_any_life(tmp_path: Path, seed: int) -> None:
    lake, used = Lake(tmp_path / "warehouse"), 0
    for hour in live_randomly(lake, random.Random(seed), steps=30):  # noqa: S311
        reading = Reading(lake.store)
        found = kept_history.load_publishers_history(reading)
        whole = load_history(lake.store, pass_damage=True)
        assert found == whole, (seed, hour)
        used += len(reading.read) < len([manifest for manifest in whole if manifest.kind == "sweep"]) - 1
        assert keep(lake) == whole

    assert used > 1, "kept manifests were used"


def test_after_more_months_a_publisher_reads_only_the_manifests_of_the_newest(lake: Lake) -> None:
    history = keep(lake)
    reading = Reading(lake.store)

    assert kept_history.load_publishers_history(reading) == history
    assert [path[-7:-5] for path in reading.read] == ["05", "06"]
    assert [path.name[:7] for path in list_kept(lake)] == ["2026-02"]
    assert verify_warehouse(lake.store).problems == ()


def test_a_kept_file_is_written_once_in_a_month(lake: Lake) -> None:
    keep(lake)
    [before] = list_kept(lake)
    lake.commit_at(64 * DAY, ok(A, builder("a")))
    keep(lake)
    assert list_kept(lake) == [before]

    lake.commit_at(93 * DAY, ok(A, builder("a")))
    keep(lake)
    assert [path.name[:7] for path in list_kept(lake)] == ["2026-03"]


def test_a_damaged_kept_file_is_not_used_and_written_again(lake: Lake) -> None:
    history = keep(lake)
    [file] = list_kept(lake)
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")

    assert keep(lake) == history
    [file] = list_kept(lake)
    assert sha256(file.read_bytes()).hexdigest() in file.name


def test_a_kept_file_with_values_that_no_manifest_has_is_not_used(lake: Lake) -> None:
    sweeps = load_history(lake.store)[:4]
    name = "accounts"
    [file] = sweeps[1].tables[name].files
    forged = msgspec.structs.replace(file, path="../../etc/passwd")
    tables = sweeps[1].tables | {name: msgspec.structs.replace(sweeps[1].tables[name], files=[forged])}
    content = encode_history([sweeps[0], msgspec.structs.replace(sweeps[1], tables=tables), *sweeps[2:]])
    kept = KeptParts(lake.store, 6)
    written = KeptName("manifests", "2026-02", sweeps[-1].digest, sha256(content).hexdigest(), "msgpack")

    assert kept.write_content(written, BytesIO(content)) == written
    assert decode_history(encode_history(sweeps)) == tuple(sweeps)
    assert decode_history(content) == ()
    assert kept_history.load_publishers_history(lake.store) == load_history(lake.store)


def test_manifests_of_another_history_are_not_used(lake: Lake, tmp_path: Path) -> None:
    keep(lake)
    other = Lake(tmp_path / "other")
    for day in (0, 1, 31, 32, 62, 63):
        other.commit_at(day * DAY, ok(A, builder("b")))
    [file] = list_kept(lake)
    target = Path(other.store.root, file.relative_to(lake.store.root))
    target.parent.mkdir(parents=True)
    target.write_bytes(file.read_bytes())

    assert kept_history.load_publishers_history(other.store) == load_history(other.store)
    assert {at(0)} < {manifest.committed_at for manifest in keep(other)}
    assert [path.name == file.name for path in list_kept(other)] == [False]
