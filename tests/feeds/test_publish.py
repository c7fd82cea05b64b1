"""Publishing: all feeds at once or none, nothing that was published ever changes, and each row says how old it is."""

import csv
import json
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appstream_export.errors import ConfigurationError, ExportError, SettingsError
from appstream_export.feeds import publish_feeds
from appstream_export.feeds.definitions import COLUMN_TYPES
from appstream_export.feeds.generations import GRACE, GenerationStore
from appstream_export.feeds.verify import verify_feeds
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.lake.storage.base import Store
from appstream_export.settings import FeedsSettings
from appstream_export.status import Status
from tests.lake.lakes import EVERYWHERE, EVERYWHERE_IN_CI, A, B, Lake, at, builder, failed, ok
from tests.lake.stores import Around, Failing, Raced

FEEDS = {
    "accounts", "coverage", "export_runs", "feed_status", "image_builder_agent_settings", "image_builder_changes",
    "image_builder_daily", "image_builder_endpoints", "image_builder_errors", "image_builder_ipv6_addresses",
    "image_builder_network", "image_builder_security_groups", "image_builder_state_spans", "image_builder_subnets",
    "image_builders",
}  # fmt: skip
WITH_CSV = FeedsSettings(csv=True, account_labels=("Cost Centre",))
ACCOUNTS = [
    {"account_id": "111122223333", "account_name": "one", "source": "settings", "labels_json": '{"Cost Centre": "=7"}'}
]


def folder(lake: Lake) -> Path:
    """Where the feeds lie."""
    return Path(lake.store.root, "feeds", "v1")


def table(lake: Lake, feed: str, generation: str = "latest") -> list[dict[str, Any]]:
    """Rows of a feed."""
    return pq.read_table(folder(lake) / generation / f"{feed}.parquet", partitioning=None).to_pylist()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse with feeds, CSV and a label; no test may change it."""
    lake = Lake(tmp_path_factory.mktemp("published") / "warehouse")
    a = builder("a", state="RUNNING", description="=cmd()", display_name="", subnets=["s1", "s2"], errors=["E"])
    lake.commit(ok(A, a, builder("b", state="STOPPED")), ok(B), accounts=ACCOUNTS)
    lake.commit(ok(A, a), failed(B), accounts=ACCOUNTS)
    publish_feeds(lake.store, lake.contracts, WITH_CSV)
    return lake


def test_every_feed_is_a_file_and_a_table_of_one_snapshot(published: Lake) -> None:
    current = json.loads((folder(published) / "current.json").read_text())
    tables = {name: [*table(published, name)] for name in FEEDS}
    stamps = {(row["snapshot_id"], row["as_of_utc"]) for rows in tables.values() for row in rows}

    assert {*current["feeds"]} == FEEDS
    assert stamps == {(current["snapshot_id"], datetime.fromisoformat(current["as_of_utc"][:-1]))}
    with duckdb.connect(str(folder(published) / "bi.duckdb"), read_only=True) as con:
        assert {name for (name,) in con.execute("select table_name from duckdb_tables()").fetchall()} == FEEDS
        for name, rows in tables.items():
            assert con.execute(f"select count(*) from {name}").fetchall() == [(len(rows),)]
    assert verify_feeds(published.store) == []


def test_rows_of_children_lead_to_their_builder_and_scopes_to_coverage(published: Lake) -> None:
    (a,) = table(published, "image_builders")
    subnets, coverage = table(published, "image_builder_subnets"), table(published, "coverage")

    assert a["image_builder_key"] == "111122223333/eu-west-1/a"
    assert [(s["row_key"], s["image_builder_key"], s["subnet_id"]) for s in subnets] == [
        ("111122223333/eu-west-1/a/0", a["image_builder_key"], "s1"),
        ("111122223333/eu-west-1/a/1", a["image_builder_key"], "s2"),
    ]
    assert [(c["scope_key"], c["status"], c["is_stale"]) for c in coverage] == [
        (a["scope_key"], "ok", False),
        ("image_builders/111122223333/us-east-1", "denied", True),
    ]
    assert [(c["name"], c["change"]) for c in table(published, "image_builder_changes")] == [
        ("a", "first_seen"), ("b", "first_seen"), ("b", "deleted"),
    ]  # fmt: skip


def test_columns_have_plain_types_and_docs_everywhere(published: Lake) -> None:
    described = {}
    with duckdb.connect(str(folder(published) / "bi.duckdb"), read_only=True) as con:
        asked = "select table_name, column_name, data_type, comment from duckdb_columns() where not internal"
        rows = con.execute(asked).fetchall()
        assert [c for (c,) in con.execute("select comment from duckdb_tables()").fetchall() if not c] == []
    for name, column, kind, comment in rows:
        assert kind in COLUMN_TYPES or kind.startswith("DECIMAL(18,"), f"{name}.{column} is {kind}"
        assert comment, f"{name}.{column} has no doc"
        assert (kind == "TIMESTAMP") is column.endswith("_utc"), f"{name}.{column}"
        described[name, column] = comment
    for name in FEEDS:
        schema = pq.read_schema(folder(published) / "latest" / f"{name}.parquet")
        for field in schema:
            assert field.metadata[b"comment"].decode() == described[name, field.name]
            assert not pa.types.is_timestamp(field.type) or (field.type.unit, field.type.tz) == ("us", None)


def test_files_are_snappy_for_their_group_and_the_database_refuses_writers(published: Lake) -> None:
    place = folder(published)
    parquet = pq.ParquetFile(place / "latest" / "image_builders.parquet").metadata
    modes = {name: stat.S_IMODE((place / name).stat().st_mode) for name in ("current.json", "bi.duckdb", "latest")}

    assert parquet.row_group(0).column(0).compression == "SNAPPY"
    assert modes == {"current.json": 0o440, "bi.duckdb": 0o440, "latest": 0o750}
    assert stat.S_IMODE(Path(published.store.root).stat().st_mode) == 0o710, "others pass through, and see nothing"
    assert stat.S_IMODE((Path(published.store.root) / "commits").stat().st_mode) == 0o700


def test_csv_is_not_run_by_a_spreadsheet_and_tells_null_from_empty(published: Lake) -> None:
    text = (folder(published) / "latest" / "image_builders.csv").read_text("utf-8")
    (row,) = csv.DictReader(text.splitlines())

    assert (row["description"], row["label_cost_centre"], row["is_stale"]) == ("'=cmd()", "'=7", "false")
    assert row["observed_at_utc"] == "2026-01-02T12:02:00.000000Z"
    assert text.splitlines()[1].split(",")[7] == '""', "an empty display name"
    assert text.splitlines()[1].split(",")[6] == "", "no Arn"


@pytest.mark.slow
def test_no_cell_of_a_csv_begins_a_formula_wherever_a_spreadsheet_splits(tmp_path: Path) -> None:
    hostile = ["x;=cmd()", 'x;"=cmd()', "x\t@cmd()", "x\n+cmd()", "x\r\n;;-cmd()", "＝cmd()", "=a;=b"]  # noqa: RUF001
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, *(builder(f"b{n}", description=text) for n, text in enumerate(hostile))))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(csv=True))
    lines = (folder(lake) / "latest" / "image_builders.csv").read_text("utf-8").splitlines()

    for separator in (",", ";", "\t"):
        cells = [cell for row in csv.reader(lines, delimiter=separator) for cell in row]
        assert sum("cmd()" in cell for cell in cells) >= len(hostile) - 1, "they are there"
        assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝"))] == [], separator  # noqa: RUF001


def test_labels_that_the_settings_name_are_columns_wherever_there_is_an_account(published: Lake) -> None:
    assert {row["label_cost_centre"] for name in ("image_builders", "coverage", "accounts", "image_builder_daily")
            for row in table(published, name)} == {"=7"}  # fmt: skip
    assert "label_cost_centre" not in table(published, "export_runs")[0]


@pytest.mark.parametrize(
    ("labels", "why"),
    [(("Team", "team"), '"team" and "Team" become the same column'), (("!",), '"!" cannot become a column name')],
)
def test_labels_that_make_no_columns_are_refused(labels: tuple[str, ...], why: str, published: Lake) -> None:
    with pytest.raises(SettingsError, match=why):
        publish_feeds(published.store, published.contracts, FeedsSettings(account_labels=labels))


@pytest.mark.slow
def test_a_label_that_no_account_has_is_warned_of(
    published: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Lake(Path(shutil.copytree(published.store.root, tmp_path / "warehouse", symlinks=True)))
    publish_feeds(copy.store, copy.contracts, FeedsSettings(account_labels=("Cost Centre", "taem")))

    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "[feeds] account_labels: no account has the label taem, its column is empty"
    ]


def test_feed_status_has_a_row_for_each_feed(published: Lake) -> None:
    rows = {row["feed"]: (row["row_count"], row["is_ok"], row["why"]) for row in table(published, "feed_status")}

    assert {*rows} == FEEDS
    assert (rows["image_builder_subnets"], rows["feed_status"]) == ((2, True, None), (len(FEEDS), True, None))


@pytest.mark.slow
@EVERYWHERE_IN_CI
def test_publishing_again_leaves_what_was_published_as_it_was(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    first = publish_feeds(lake.store, lake.contracts)
    shelf = GenerationStore(lake.store, file_mode=0o640)
    before = {s.path: shelf.store.read_bytes(s.path) for s in shelf.list_generations()[first.current.name]}
    again = publish_feeds(lake.store, lake.contracts)

    assert (first.current.name, again.current.name) == (first.current.snapshot_id, f"{first.current.snapshot_id}-2")
    assert {path: shelf.store.read_bytes(path) for path in before} == before
    assert shelf.load_current() == again.current
    assert verify_feeds(lake.store) == verify_feeds(lake.store, first.current.name) == []


def test_before_the_first_snapshot_there_are_no_feeds(lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match=r"no snapshot in .* yet"):
        publish_feeds(lake.store, lake.contracts)


class Broken(Around):
    """A warehouse in which the n-th operation on feeds fails, and all later ones; see Failing."""

    def __init__(self, store: Store, left: int, *, landed: bool = False) -> None:
        super().__init__(store)
        self.feeds: Failing | None = None
        self.left, self.landed = left, landed

    def open_subfolder(self, folder: str, **how: Any) -> Failing:
        """The feeds."""
        self.feeds = Failing(self._store.open_subfolder(folder, **how), self.left, landed=self.landed)
        return self.feeds


@pytest.mark.slow
def test_whatever_fails_readers_have_the_old_or_the_new_generation_and_the_next_publication_heals(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="FIRST")))
    publish_feeds(lake.store, lake.contracts)
    lake.commit(ok(A, builder("a", state="OLD")))
    all_of_it = Broken(lake.store, 1_000)
    publish_feeds(all_of_it, lake.contracts)
    lake.commit(ok(A, builder("a", state="NEW")))
    assert all_of_it.feeds is not None
    count, seen = 1_000 - all_of_it.feeds.left, set()
    claims = folder(lake) / "claims"
    last = count - 3  # current.json; then come the link, and what is asked in order to tidy
    for left, landed in ((1, False), (2, True), (count // 2, False), (last, False), (last, True), (last + 1, False)):
        taken = len([*claims.iterdir()]) - 2  # each costs another try to claim a name
        with pytest.raises((ExportError, OSError), match=r"No space left|no answer"):
            publish_feeds(Broken(lake.store, left + (taken if left > 1 else 0), landed=landed), lake.contracts)
        seen.add(_served(lake))
        half = ("bi.duckdb: ", "v2: bi.duckdb: ", "latest: ")
        assert [problem for problem in verify_feeds(lake.store) if not problem.startswith(half)] == []

    assert seen == {"OLD", "NEW"}
    publish_feeds(lake.store, lake.contracts)
    assert verify_feeds(lake.store) == []


def _served(lake: Lake) -> str:
    current = json.loads((folder(lake) / "current.json").read_text())
    return pq.read_table(folder(lake) / current["feeds"]["image_builders"]).column("state")[0].as_py()


def found(name: str, severity: str, rows: int) -> list[CheckResult]:
    """What a check has found."""
    return [CheckResult(name=name, doc="", severity=severity, rows=rows)]


@pytest.mark.slow
def test_a_check_of_severity_error_keeps_the_feeds_as_they_are_and_feed_status_says_why(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="RUNNING")), failed(B))
    good = publish_feeds(lake.store, lake.contracts, check_results={1: found("prices", "warn", 9)})
    lake.commit(ok(A, builder("a", state="STOPPED")))
    stopped = publish_feeds(lake.store, lake.contracts, check_results={2: found("orphans", "error", 3)})

    assert (good.problem, stopped.current.is_ok) == (None, False)
    assert stopped.problem is not None
    assert "fails checks: orphans (3 rows)" in stopped.problem
    assert stopped.current.as_of_utc == good.current.as_of_utc
    assert [row["state"] for row in table(lake, "image_builders")] == ["RUNNING"]
    assert {(row["is_ok"], row["why"]) for row in table(lake, "feed_status")} == {(False, stopped.problem)}
    before, after = (table(lake, "coverage", f"generations/{p.current.name}") for p in (good, stopped))
    assert before == after
    assert verify_feeds(lake.store) == []

    healed = publish_feeds(lake.store, lake.contracts)
    assert (healed.problem, table(lake, "image_builders")[0]["state"]) == (None, "STOPPED")


@pytest.mark.slow
def test_the_description_has_the_age_of_the_rows_that_are_stale_for_longest(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")), ok(B))
    lake.commit(failed(A, Status.DENIED), ok(B, builder("b")))
    lake.commit(failed(A, Status.DENIED), failed(B, Status.MALFORMED))
    publish_feeds(lake.store, lake.contracts)
    package = json.loads((folder(lake) / "latest" / "datapackage.json").read_text())

    assert package["freshness"] == {"oldest_stale_observed_at_utc": f"{at(1):%Y-%m-%dT%H:%M:%S.%f}Z"}
    assert package["coverage"]["stale"] == 2


def test_a_check_that_fails_before_there_were_feeds_leaves_feed_status_alone(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    stopped = publish_feeds(lake.store, lake.contracts, check_results={1: found("orphans", "error", 1)})

    assert [*stopped.rows] == ["feed_status"]
    assert verify_feeds(lake.store) == []


@pytest.mark.slow
@EVERYWHERE
def test_old_generations_go_after_their_grace_but_never_the_one_that_is_served(lake: Lake) -> None:
    few = FeedsSettings(keep_generations=2)
    lake.commit(ok(A, builder("a")))
    names = [publish_feeds(lake.store, lake.contracts, few).current.name for _ in range(3)]
    shelf = GenerationStore(lake.store, file_mode=0o640)
    assert [*shelf.list_generations()] == names, "all within the grace"

    later = datetime.now(UTC) + GRACE + timedelta(minutes=1)
    published = publish_feeds(lake.store, lake.contracts, few, clock=lambda: later)
    removed = published.removed
    assert published.star is not None
    assert published.star.removed == removed
    assert [*removed] == names[:2]
    assert [*shelf.list_generations()] == [names[2], f"{names[0]}-4"]
    assert verify_feeds(lake.store) == []
    assert shelf.prune(retain=2, now=later) == []


@pytest.mark.slow
def test_an_unfinished_generation_takes_the_place_of_no_finished_one(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    names = [publish_feeds(lake.store, lake.contracts).current.name for _ in range(2)]
    orphan = folder(lake) / "generations" / "KILLED"
    orphan.mkdir(parents=True)
    (orphan / "image_builders.parquet").write_bytes(b"half")
    shelf = GenerationStore(lake.store, file_mode=0o640)

    assert [*shelf.list_generations()] == [*names, "KILLED"]
    assert shelf.prune(retain=2, now=datetime.now(UTC) + 2 * GRACE) == []


@pytest.mark.slow
def test_a_generation_loses_its_description_before_its_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.commit(ok(A, builder("a")))
    names = [publish_feeds(lake.store, lake.contracts).current.name for _ in range(2)]
    shelf, removed = GenerationStore(lake.store, file_mode=0o640), list[str]()

    def stop_at_the_second(path: str) -> None:
        removed.append(path)
        if len(removed) > 1:
            raise InterruptedError

    monkeypatch.setattr(shelf.store, "remove", stop_at_the_second)
    with pytest.raises(InterruptedError):
        shelf.prune(retain=1, now=datetime.now(UTC) + 2 * GRACE)

    assert removed[0] == f"v1/generations/{names[0]}/datapackage.json"


@pytest.mark.slow
def test_a_publication_that_was_killed_is_swept_away_later(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))
    orphan = folder(lake) / "generations" / "KILLED"
    orphan.mkdir(parents=True)
    (orphan / "image_builders.parquet").write_bytes(b"half")
    published = publish_feeds(lake.store, lake.contracts)
    shelf = GenerationStore(lake.store, file_mode=0o640)

    assert shelf.prune(retain=24, now=datetime.now(UTC)) == []
    assert shelf.prune(retain=24, now=datetime.now(UTC) + 2 * GRACE) == ["KILLED"]
    assert [*shelf.list_generations()] == [published.current.name]


@pytest.mark.slow
def test_an_erased_account_is_in_no_generation_after_the_next_publication(lake: Lake) -> None:
    from appstream_export.lake.maintenance.erase import erase_account

    lake.commit(ok(A, builder("a")), ok("444455556666/eu-west-1", builder("secret")))
    first = publish_feeds(lake.store, lake.contracts)
    now = datetime.now(UTC)
    erase_account(lake.store, lake.contracts, "444455556666", now=now, tool_version="0")
    after = publish_feeds(lake.store, lake.contracts, check_results={2: found("orphans", "error", 1)})

    assert after.removed == (first.current.name,), "at once, and a failed check brings nothing of it back"
    assert [*after.rows] == ["feed_status"]
    assert publish_feeds(lake.store, lake.contracts).rows["image_builders"] == 1
    assert verify_feeds(lake.store) == []


class Overtaken(Around):
    """A warehouse in which others act as soon as feeds are being written."""

    def __init__(self, store: Store, rivals: list[Callable[[], object]]) -> None:
        super().__init__(store)
        self.rivals = rivals

    def open_subfolder(self, folder: str, **how: Any) -> Raced:
        """The feeds."""
        return Raced(self._store.open_subfolder(folder, **how), self.rivals, before="")


@pytest.mark.slow
def test_what_is_erased_while_we_publish_comes_back_from_no_earlier_generation(lake: Lake) -> None:
    from appstream_export.lake.maintenance.erase import erase_account

    lake.commit(ok(A, builder("a")), ok("444455556666/eu-west-1", builder("secret")))
    publish_feeds(lake.store, lake.contracts)
    now, broken = datetime.now(UTC), {1: found("orphans", "error", 1), 2: found("orphans", "error", 1)}
    rival = Overtaken(
        lake.store, [lambda: erase_account(lake.store, lake.contracts, "444455556666", now=now, tool_version="0")]
    )
    published = publish_feeds(rival, lake.contracts, check_results=broken)

    assert [*published.rows] == ["feed_status"]
    with duckdb.connect(str(folder(lake) / "bi.duckdb"), read_only=True) as con:
        assert con.sql("select table_name from duckdb_tables()").fetchall() == [("feed_status",)]


@pytest.mark.slow
def test_a_run_that_commits_while_we_publish_is_published_too(lake: Lake) -> None:
    lake.commit(ok(A, builder("a", state="OLD")))
    rival = Overtaken(lake.store, [lambda: lake.commit(ok(A, builder("a", state="NEW")))])
    published = publish_feeds(rival, lake.contracts)

    assert (published.current.seq, table(lake, "image_builders")[0]["state"]) == (2, "NEW")


@pytest.mark.slow
@EVERYWHERE_IN_CI
def test_a_slow_publisher_does_not_take_newer_feeds_back(lake: Lake) -> None:
    """It is overtaken while it writes, and begins anew; until it is done readers have what the other one published."""
    served: list[int] = []

    def newer() -> None:
        lake.commit(ok(A, builder("newer")))
        publish_feeds(lake.store, lake.contracts)

    def look() -> None:
        served.append(json.loads(lake.store.read_bytes("feeds/v1/current.json"))["seq"])

    lake.commit(ok(A, builder("older")))
    publish_feeds(Overtaken(lake.store, [look, newer]), lake.contracts)

    assert served == [2]
    assert verify_feeds(lake.store) == []
