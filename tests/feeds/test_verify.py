"""verify: any byte that is not what was published is named, with its file."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appstream_export.errors import ConfigurationError, StorageFailed
from appstream_export.feeds import publish_feeds
from appstream_export.feeds.verify import verify_feeds
from appstream_export.lake.storage.checksum_trailer import append_file_checksum
from appstream_export.settings import FeedsSettings
from tests.lake.lakes import A, Lake, builder, ok


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse with feeds; no test may change it."""
    lake = Lake(tmp_path_factory.mktemp("verify") / "warehouse")
    lake.commit(ok(A, builder("a", subnets=["s"])))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(csv=True))
    return lake


@pytest.fixture
def copy(published: Lake, tmp_path: Path) -> Lake:
    """A copy of it, to be damaged."""
    return Lake(Path(shutil.copytree(published.store.root, tmp_path / "warehouse", symlinks=True)))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    replace(file, bytes(content))


def replace(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)


def redescribe(v1: Path, **fields: object) -> None:
    """Let the description of image_builders say something else, with current.json in agreement."""
    file = v1 / "latest" / "datapackage.json"
    package = json.loads(file.read_text())
    next(r for r in package["resources"] if r["name"] == "image_builders").update(fields)
    replace(file.resolve(), json.dumps(package).encode())


def rewrite(v1: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Let image_builders hold other rows, with a description that agrees."""
    file = (v1 / "latest" / "image_builders.parquet").resolve()
    rows = change(pq.read_table(file))
    file.unlink()
    pq.write_table(rows, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    redescribe(v1, bytes=file.stat().st_size, sha256=digest, rows=rows.num_rows)


def set_snapshot(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("snapshot_id")
    return rows.set_column(place, rows.schema.field(place), pa.array(["another"] * rows.num_rows))


def other_database(v1: Path) -> None:
    import duckdb

    (v1 / "bi.duckdb").unlink()
    with duckdb.connect(str(v1 / "bi.duckdb")) as con:
        con.execute("create table image_builders (name varchar)")
    append_file_checksum(v1 / "bi.duckdb")


DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("a bit", lambda v1: flip(v1 / "latest" / "image_builders.parquet"), r"builders.parquet: its content differs"),
    ("a bit of csv", lambda v1: flip(v1 / "latest" / "coverage.csv"), r"coverage.csv: its content differs"),
    ("shorter", lambda v1: replace(v1 / "latest" / "accounts.parquet", b"x"), r"accounts.parquet: 1 bytes instead of"),
    ("missing", lambda v1: (v1 / "latest" / "accounts.parquet").unlink(), r"accounts.parquet: missing"),
    ("rows", lambda v1: redescribe(v1, rows=7), r"image_builders.parquet: 1 rows instead of 7"),
    ("another snapshot", lambda v1: rewrite(v1, set_snapshot), r"builders.parquet: rows of another snapshot"),
    ("a key twice", lambda v1: rewrite(v1, lambda rows: pa.concat_tables([rows, rows])), r"is not a key: 0 null, 1"),
    ("description", lambda v1: redescribe(v1, rows=7), r"datapackage.json: its content differs from current.json"),
    ("no description", lambda v1: (v1 / "latest" / "datapackage.json").unlink(), r'there is no generation "'),
    ("link", lambda v1: (v1 / "latest").unlink(), r"latest: does not point to generations/"),
    ("no database", lambda v1: (v1 / "bi.duckdb").unlink(), r"bi.duckdb: missing"),
    ("no database at all", lambda v1: replace(v1 / "bi.duckdb", b"no"), r"bi.duckdb: was changed after it was"),
    ("a bit of the database", lambda v1: flip(v1 / "bi.duckdb"), r"bi.duckdb: was changed after it was published"),
    ("another database", other_database, r"bi.duckdb: image_builders has other columns than the generation"),
]


@pytest.mark.parametrize(("damage", "says"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_damage_is_named(damage: Callable[[Path], object], says: str, copy: Lake) -> None:
    assert verify_feeds(copy.store) == []
    damage(Path(copy.store.root, "feeds", "v1"))
    found = verify_feeds(copy.store)

    assert found
    assert any(re.search(says, line) for line in found), found


@pytest.mark.slow
def test_the_pointer_tells_each_of_its_bits(copy: Lake) -> None:
    """A slice: some bits of its file."""
    file = Path(copy.store.root, "feeds", "v1", "current.json")
    content = file.read_bytes()
    for place in range(0, len(content), len(content) // 12):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        replace(file, bytes(changed))
        with suppress(StorageFailed):
            assert verify_feeds(copy.store), place


@pytest.mark.slow
def test_a_pointer_that_is_damaged_is_written_anew(copy: Lake) -> None:
    replace(Path(copy.store.root, "feeds", "v1", "current.json"), b"{")
    with pytest.raises(StorageFailed, match=r"current.json is damaged: .*appstream-export feeds publish"):
        verify_feeds(copy.store)
    publish_feeds(copy.store, copy.contracts)

    assert verify_feeds(copy.store) == []


@pytest.mark.slow
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_pointer_that_is_missing_is_a_problem_though_the_other_version_is_served(copy: Lake, version: str) -> None:
    Path(copy.store.root, "feeds", version, "current.json").unlink()

    assert verify_feeds(copy.store) == [
        f"{version}: current.json: missing; publish it again with: appstream-export feeds publish"
    ]


def test_without_feeds_the_command_that_makes_them_is_named(lake: Lake) -> None:
    lake.commit(ok(A))
    with pytest.raises(ConfigurationError, match="no feeds yet; publish them with: appstream-export feeds publish"):
        verify_feeds(lake.store)
