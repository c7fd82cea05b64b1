"""Facts in parts by month: only months that changed are written; all rows are those of a computation from nothing."""

import json
import logging
import random
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow.parquet as pq
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.errors import StorageFailed
from appstream_export.feeds import datapackage, publish_feeds
from appstream_export.feeds.definitions import limit_history
from appstream_export.feeds.generations import GenerationStore
from appstream_export.feeds.parts import UNDATED, PartDays
from appstream_export.feeds.star import build_star_feeds
from appstream_export.feeds.verify import verify_feeds
from appstream_export.lake.catalog import SharedConnection, open_feed_connection
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.lake.maintenance import erase_account
from appstream_export.lake.storage.base import Store
from appstream_export.settings import FeedsSettings
from tests.feeds.stars import PRICES, folder, list_files, table
from tests.lake.lakes import DAY, A, B, C, Lake, at, builder, live_randomly, ok
from tests.lake.stores import Around

DAYS = "fact_image_builder_day"
FACTS = [feed.name for feed in build_star_feeds(load_contracts(), ()) if feed.is_in_parts]
STAR = FeedsSettings(versions=("v2",))


@pytest.fixture
def lake(published: Path, tmp_path: Path) -> Lake:
    """Snapshots of three months, published after each."""
    return Lake(Path(shutil.copytree(published, tmp_path / "warehouse", symlinks=True)))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse that each test has a copy of."""
    lake = Lake(tmp_path_factory.mktemp("parts") / "warehouse")
    for month in range(3):
        lake.commit_at(month * 31 * DAY, *answers())
        publish_feeds(lake.store, lake.contracts)
    return Path(lake.store.root)


def answers(**columns: Any) -> tuple[Any, ...]:
    """Two builders that run, and one of the account that an erase removes."""
    facts = {"state": "RUNNING", "instance_type": "stream.standard.large", **columns}
    return ok(A, builder("a", **facts), builder("b", state="STOPPED")), ok(C, builder("secret-builder-name"))


def publish(lake: Lake, caplog: pytest.LogCaptureFixture, **settings: Any) -> dict[str, list[str]]:
    """Publish and return the parts that were written, by fact."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "appstream_export.feeds.publish"):
        publish_feeds(lake.store, lake.contracts, FeedsSettings(**settings))
    written = [record.args for record in caplog.records if record.msg.startswith("rows written")]
    assert verify_feeds(lake.store) == []
    found: dict[str, list[str]] = {}
    for feed, _, days in written:
        found.setdefault(feed, []).append(str(days))
    return found


def compute(lake: Lake, name: str, history_days: int | None = None) -> list[Any]:
    """Rows of a fact, computed from nothing."""
    with SharedConnection(lake.store, lake.contracts) as shared, open_feed_connection(shared) as connection:
        feed = next(feed for feed in build_star_feeds(lake.contracts, ()) if feed.name == name)
        connection.derive_tables(feed.reads)
        return sorted(connection.fetch_rows(f"from ({limit_history(feed, history_days).sql})"), key=str)


def load(lake: Lake, name: str) -> list[Any]:
    """Rows of a fact as its files hold them, which are those of bi.duckdb."""
    rows = [tuple(map(_drop_zone, row.values())) for row in table(lake, name)]
    with duckdb.connect(str(Path(lake.store.root, "feeds/v2/bi.duckdb")), read_only=True) as con:
        found = con.execute(f"from {name}").fetchall()
    assert sorted(found, key=str) == sorted(rows, key=str)
    return sorted(rows, key=str)


def _drop_zone(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def test_the_days_of_a_part_print_as_its_name_and_parse_back() -> None:
    names = ["2026-02", "2026-02-01", "2026-02-25", "2026-12", "2026-12-25", "undated"]
    parts = [PartDays.parse(name) for name in names]

    assert [str(days) for days in parts] == names
    assert [(days.first.day, days.last.day) for days in parts] == [
        (1, 28), (1, 8), (25, 28), (1, 31), (25, 31), (31, 31),
    ]  # fmt: skip
    assert sorted(parts)[-1] == UNDATED


def test_a_day_on_which_nothing_changed_writes_rows_of_its_own_month_alone(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    before = list_files(lake, DAYS)
    lake.commit_at(63 * DAY, *answers())
    written, after = publish(lake, caplog), list_files(lake, DAYS)

    assert {month[:7] for months in written.values() for month in months} == {"2026-03"}
    assert [file.name[len(DAYS) :] for file in after] == [f".2026-{month}.parquet" for month in ("01", "02", "03-01")]
    assert [a.samefile(b) for a, b in zip(before, after, strict=True)] == [True, True, False]
    assert publish(lake, caplog) == {}, "the same snapshot again writes no row"
    assert all(load(lake, name) == compute(lake, name) for name in FACTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "months"),
    [
        (lambda lake: lake.commit_at(63 * DAY, *answers(instance_type="stream.standard.xlarge")), "2026-01 2026-02"),
        (lambda lake: lake.commit_at(63 * DAY, *answers(), prices=PRICES), "2026-01 2026-02"),
        (lambda lake: lake.commit_at(63 * DAY, ok(B, builder("x"), minute=40 * 1440), *answers()), "2026-02"),
    ],
    ids=["a resize", "another price list", "a late answer"],
)
def test_what_changes_rows_of_the_past_writes_their_months_again(
    lake: Lake, caplog: pytest.LogCaptureFixture, change: Callable[[Lake], object], months: str
) -> None:
    change(lake)

    assert publish(lake, caplog)[DAYS] == [*months.split(), "2026-03-01"]
    assert all(load(lake, name) == compute(lake, name) for name in FACTS)


def test_another_description_or_sql_writes_all_months_again(
    lake: Lake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from appstream_export.feeds import publish as publishing

    known = publishing.build_version_feeds
    monkeypatch.setattr(
        publishing, "build_version_feeds", lambda *args: [replace(feed, doc=f"{feed.doc}.") for feed in known(*args)]
    )

    assert publish(lake, caplog) == {
        "fact_export_run": ["2026-01", "2026-02", "2026-03"],
        "fact_image_builder_change": ["2026-01"],
        DAYS: ["2026-01", "2026-02", "2026-03-01"],
        "fact_image_builder_state_span": ["2026-03"],  # no span has ended
    }


@pytest.mark.slow
def test_another_calculation_of_days_writes_all_months_again(
    lake: Lake, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from appstream_export.lake.catalog import derived

    assert publish(lake, caplog) == {}
    known = derived.list_view_files
    monkeypatch.setattr(
        derived,
        "list_view_files",
        lambda contracts: [
            replace(v, sql=v.sql.replace("/ 730", "/ 731")) if v.name == "image_builder_life_days" else v
            for v in known(contracts)
        ],
    )

    assert publish(lake, caplog)[DAYS] == ["2026-01", "2026-02", "2026-03-01"]


@pytest.mark.slow
def test_a_limited_history_writes_again_only_the_month_that_it_cuts(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    publish(lake, caplog, history_days=40)
    lake.commit_at(63 * DAY, *answers())

    assert publish(lake, caplog, history_days=40)[DAYS] == ["2026-01", "2026-03-01"]
    assert all(load(lake, name) == compute(lake, name, 40) for name in FACTS)


def test_the_kept_beginning_of_bi_duckdb_is_not_written_again_where_v1_is_published_too(lake: Lake) -> None:
    def find_kept() -> list[tuple[str, int]]:
        return [(file.name, file.stat().st_mtime_ns) for file in Path(lake.store.root, "kept/bi_duckdb").iterdir()]

    before = find_kept()
    lake.commit_at(63 * DAY, *answers())
    publish_feeds(lake.store, lake.contracts)

    assert len(before) == 1
    assert find_kept() == before


@pytest.mark.slow
def test_parts_of_the_newest_month_become_one_with_the_same_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake, written = Lake(tmp_path / "warehouse"), list[list[str]]()
    for number, hour in enumerate((0, 7.4 * DAY, 15 * DAY, 15.2 * DAY, 27 * DAY)):
        lake.commit_at(hour, *answers(state=("RUNNING", "STOPPED")[number % 2]))
        written.append(publish(lake, caplog, versions=("v2",))[DAYS])
    days = load(lake, DAYS)
    lake.commit_at(31 * DAY, *answers(state="STOPPED"))

    first, second, third, fourth = (f"2026-01-{day:02}" for day in (1, 9, 17, 25))
    assert written == [[first], [first, second], [second, third], [third], [third, fourth]]
    assert publish(lake, caplog, versions=("v2",))[DAYS] == ["2026-01", "2026-02-01"]
    complete = [row for row in days if row[5] < at(26 * 1440).date()]
    assert [row for row in load(lake, DAYS) if row[5] < at(26 * 1440).date()] == complete
    assert len(complete) == 3 * 26


BLOCKED = CheckResult(name="orphans", doc="", severity="error", rows=3)
"""The result of a check for which the newest snapshot is not published."""


def publish_blocked(lake: Lake, settings: FeedsSettings = STAR) -> None:
    """Commit another snapshot, which checks block, and publish what is served again."""
    seq = lake.commit_at(63 * DAY, *answers()).seq
    published = publish_feeds(lake.store, lake.contracts, settings, check_results={seq: [BLOCKED]})
    assert published.problem


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text of a served file."""
    text = file.read_text()
    assert old in text
    file.chmod(0o600)
    file.write_text(text.replace(old, new, 1))


def drop_parts(lake: Lake) -> None:
    """Describe a fact that has no parts, in a package whose digest is right."""
    generations = GenerationStore(lake.store, file_mode=0o640, version="v2")
    current, file = generations.require_current(), folder(lake) / "datapackage.json"
    package = json.loads(file.read_text())
    for resource in [r for r in package["resources"] if r.get("part_of") == DAYS]:
        package["resources"].remove(resource)
    del resource["part_of"]
    package["resources"].append(resource | {"name": DAYS})
    file.chmod(0o600)
    file.write_text(json.dumps(package))
    digest = sha256(file.read_bytes()).hexdigest()
    generations.set_current(msgspec.structs.replace(current, datapackage_sha256=digest).add_digest())


def lose_key_column(lake: Lake) -> None:
    """Write a dimension without the column that is its key."""
    file = folder(lake) / "dim_region.parquet"
    rows = pq.read_table(file, partitioning=None)
    file.chmod(0o600)
    pq.write_table(rows.drop_columns(["region"]), file)


DAMAGES: dict[str, Callable[[Lake], object]] = {
    "a part's name": lambda lake: edit(folder(lake) / "datapackage.json", '"part": "2026-01"', '"part": "2026-21"'),
    "a key of the package": lambda lake: edit(folder(lake) / "datapackage.json", '"derived_from"', '"derived_form"'),
    "no package": lambda lake: (folder(lake) / "datapackage.json").unlink(),
    "a fact without parts": drop_parts,
    "a seq": lambda lake: edit(folder(lake).parents[1] / "current.json", '"seq": 3', '"seq": 93'),
    "a dimension": lose_key_column,
    "no dimension": lambda lake: (folder(lake) / "dim_region.parquet").unlink(),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_feeds_are_not_published_again_and_the_next_snapshot_replaces_them(
    lake: Lake, damage: Callable[[Lake], object]
) -> None:
    damage(lake)
    before = Path(lake.store.root, "feeds/v2/current.json").read_bytes()
    with pytest.raises(StorageFailed, match=r"feeds/v2.*; correct what the checks of the newest snapshot name"):
        publish_blocked(lake)

    assert Path(lake.store.root, "feeds/v2/current.json").read_bytes() == before
    publish_feeds(lake.store, lake.contracts, STAR)
    assert verify_feeds(lake.store) == []
    assert load(lake, DAYS) == compute(lake, DAYS)


class Replaced(Around):
    """A store in which another publisher replaces the served feeds as soon as they were read."""

    def __init__(self, store: Store, rivals: list[Callable[[], object]]) -> None:
        super().__init__(store)
        self.rivals = rivals

    def open_subfolder(self, folder: str, **how: Any) -> "Replaced":
        """The feeds."""
        return Replaced(self._store.open_subfolder(folder, **how), self.rivals)

    def read_bytes(self, path: str) -> bytes:
        """Let the other publisher go just after."""
        content = self._store.read_bytes(path)
        if path == "v2/current.json" and self.rivals:
            self.rivals.pop()()
        return content


@pytest.mark.slow
def test_feeds_that_are_published_again_are_of_one_snapshot_and_never_of_an_older_one(tmp_path: Path) -> None:
    lake, served = Lake(tmp_path / "warehouse"), list[bytes]()
    current = Path(lake.store.root, "feeds/v2/current.json")
    for month, builders in enumerate(([builder("a")], [builder("a"), builder("b")])):
        lake.commit_at(month * 31 * DAY, ok(A, *builders))
        publish_feeds(lake.store, lake.contracts, STAR)
        served.append(current.read_bytes())
    days, (first, second) = load(lake, DAYS), served
    current.chmod(0o600)
    current.write_bytes(first)
    lake.store = Replaced(lake.store, [lambda: current.write_bytes(second)])
    publish_blocked(lake)

    assert json.loads(current.read_text())["seq"] == 2
    assert load(lake, DAYS) == days
    assert verify_feeds(lake.store) == []


@pytest.mark.slow
@pytest.mark.parametrize("history_days", [None, 40])
def test_feeds_that_are_published_again_leave_the_kept_file_as_it_is(lake: Lake, history_days: int | None) -> None:
    settings = FeedsSettings(versions=("v2",), history_days=history_days)
    publish_feeds(lake.store, lake.contracts, settings)
    kept, rows = list_kept(lake), load(lake, DAYS)
    [before] = [Path(lake.store.root, path).stat().st_mtime_ns for path in kept]
    publish_blocked(lake, settings)

    assert load(lake, DAYS) == rows
    publish_feeds(lake.store, lake.contracts, settings)
    assert list_kept(lake) == kept
    assert [Path(lake.store.root, path).stat().st_mtime_ns for path in kept] == [before]
    assert load(lake, DAYS) == compute(lake, DAYS, history_days)


@pytest.mark.slow
@pytest.mark.parametrize("column", ["image_builder_life_key", "day"])
def test_a_kept_file_that_the_served_generation_does_not_name_is_made_again(lake: Lake, column: str) -> None:
    [path] = list_kept(lake)
    file = Path(lake.store.root, path)
    file.chmod(0o600)
    with duckdb.connect(str(file)) as con:
        value = {"image_builder_life_key": "image_builder_life_key || '9'", "day": "day - 1"}[column]
        con.execute(f"update {DAYS} set {column} = {value}")
    month, key, _, suffix = file.name.split(".")
    file.rename(file.with_name(f"{month}.{key}.{sha256(file.read_bytes()).hexdigest()}.{suffix}"))
    lake.commit_at(63 * DAY, *answers())
    publish_feeds(lake.store, lake.contracts, STAR)

    assert len(list_kept(lake)) == 1
    assert load(lake, DAYS) == compute(lake, DAYS)
    assert verify_feeds(lake.store) == []


def test_a_damaged_part_is_written_again(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    rows, file = load(lake, DAYS), list_files(lake, DAYS)[0]
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")

    assert publish(lake, caplog) == {DAYS: ["2026-01"]}
    assert load(lake, DAYS) == rows


def test_erased_rows_are_in_no_part_and_the_same_search_finds_them_before(lake: Lake) -> None:
    kept = {path.rpartition("/")[2] for path in list_kept(lake)}
    assert kept
    assert find_name(lake) >= {"bi.duckdb", f"{DAYS}.2026-01.parquet", f"{DAYS}.2026-02.parquet", *kept}
    now = at(round(63 * DAY * 60)) + timedelta(days=2)
    result = erase_account(
        lake.store, lake.contracts, C[:12], now=now, tool_version="0",
        republish=lambda: publish_feeds(lake.store, lake.contracts, clock=lambda: now),
    )  # fmt: skip

    assert (result.remaining, find_name(lake)) == ((), set())
    assert all(load(lake, name) == compute(lake, name) for name in FACTS)
    assert verify_feeds(lake.store) == []


def list_kept(lake: Lake) -> list[str]:
    """Paths of the kept DuckDB files."""
    return [stored.path for stored in lake.store.list_all() if stored.path.startswith("kept/bi_duckdb/")]


class Vanishing(Around):
    """A store in which another run removes files just before they are fetched."""

    def fetch(self, path: str, file: str) -> None:
        """Let the other run go first."""
        self._store.remove(path)
        self._store.fetch(path, file)


@pytest.mark.slow
def test_a_kept_file_that_another_run_removes_meanwhile_is_made_again(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    before = list_kept(lake)
    lake.store = Vanishing(lake.store)

    assert publish(lake, caplog) == {}
    assert len(list_kept(lake)) == len(before) == 1
    assert all(load(lake, name) == compute(lake, name) for name in FACTS)


@pytest.mark.slow
def test_a_damaged_kept_file_is_made_again(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    file = Path(lake.store.root, list_kept(lake)[0])
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-1] + b"x")

    assert publish(lake, caplog) == {}
    [path] = list_kept(lake)
    assert sha256(Path(lake.store.root, path).read_bytes()).hexdigest() in path
    assert all(load(lake, name) == compute(lake, name) for name in FACTS)


@pytest.mark.parametrize("settings", [{"versions": ("v1",)}, {"history_days": 1}], ids=["v2 is off", "no past month"])
def test_kept_files_that_nothing_reads_any_more_are_removed(lake: Lake, settings: dict[str, Any]) -> None:
    assert len(list_kept(lake)) == 1
    publish_feeds(lake.store, lake.contracts, FeedsSettings(**settings))

    assert list_kept(lake) == []


def find_name(lake: Lake) -> set[str]:
    """Names of files of feeds/v2 and kept/ that hold the erased builder's name, in their bytes or in their rows."""
    found = set()
    folders = (Path(lake.store.root, name) for name in ("feeds/v2", "kept"))
    for file in (f for place in folders for f in place.rglob("*") if f.is_file()):
        is_parquet = file.suffix == ".parquet"
        text = str(pq.read_table(file, partitioning=None).to_pylist()) if is_parquet else file.read_text("latin-1")
        if "secret-builder-name" in text or b"secret-builder-name" in file.read_bytes():
            found.add(file.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_past_months_are_the_same_files_and_bi_duckdb_begins_with_them(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "warehouse")
    if place == "bucket":
        found = request.getfixturevalue("bucket")
        lake = Lake(found.place(), s3=found.settings)
    for day in (0, 31, 32):
        lake.commit_at(day * DAY, *answers())
        publish_feeds(lake.store, lake.contracts, STAR)
        if day == 31:
            kept = list_kept(lake)
    generations = GenerationStore(lake.store, file_mode=0o640, version="v2")
    first, *_, before, newest = generations.list_generations()
    parts = [datapackage.parse_parts(generations.load_package(name), "")[DAYS] for name in (first, before, newest)]

    assert [[str(part.days) for part in some] for some in parts] == [["2026-01-01"], *2 * [["2026-01", "2026-02-01"]]]
    assert [before.file.sha256 == after.file.sha256 for before, after in zip(*parts[1:], strict=True)] == [True, False]
    assert list_kept(lake) == kept
    assert len(kept) == 1
    assert verify_feeds(lake.store) == []


def run_history(folder: Path, seed: int, steps: int) -> tuple[int, int]:
    """Let a random history happen over months, comparing after each step; return rows compared and parts reused."""
    lake, rows, reused = Lake(folder / f"{seed}"), 0, 0
    before: set[int] = set()
    for hour in live_randomly(lake, random.Random(seed), steps=steps, prices=PRICES):  # noqa: S311
        publish_feeds(lake.store, lake.contracts, STAR)
        facts = [feed.name for feed in build_star_feeds(lake.contracts, ()) if feed.is_in_parts]
        for name in facts:
            found = load(lake, name)
            assert found == compute(lake, name), (seed, hour, name)
            rows += len(found)
        now = [file.stat().st_ino for name in facts for file in list_files(lake, name)]
        reused, before = reused + sum(file in before for file in now), set(now)
    return rows, reused


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_rows_are_those_of_a_computation_from_nothing_after_any_history(tmp_path: Path, seed: int) -> None:
    rows, reused = run_history(tmp_path, seed, steps=16)

    assert rows > 100
    assert reused > 10
    logging.getLogger(__name__).info("seed %d: %d rows compared, %d parts reused", seed, rows, reused)
