"""The star of feeds/v2: every key leads into its dimension, and every value is of a type that no client misreads."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appstream_export.contracts import load_contract_set, load_contracts, load_packaged_contracts, sql_files
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.errors import ContractError, ExportError, SettingsError
from appstream_export.feeds import (
    FEEDS_PAGE,
    diff_feeds,
    load_feed,
    load_published_feeds,
    load_served_outputs,
    publish_feeds,
    render_feeds_page,
)
from appstream_export.feeds.contract_feeds import Feed
from appstream_export.feeds.definitions import build_feed_schema
from appstream_export.feeds.generations import V2, VERSIONS, GenerationStore
from appstream_export.feeds.relations import check_foreign_keys
from appstream_export.feeds.star import build_star_feeds
from appstream_export.feeds.verify import verify_feeds
from appstream_export.lake.catalog import SharedConnection, open_feed_connection
from appstream_export.lake.catalog.checks import CheckResult
from appstream_export.lake.storage import LocalStore
from appstream_export.lake.storage.factory import open_store
from appstream_export.settings import FeedsSettings
from benchmarks.estate import Estate
from tests.export import Export
from tests.factories import image_builder
from tests.feeds.stars import folder, list_files, table
from tests.lake.lakes import A, B, Lake, builder, ok

FILES = sql_files.load_sql_files("feeds/v2")
STAR = {
    "dim_account", "dim_date", "dim_image_builder", "dim_region", "dim_resource", "dim_scope", "fact_export_run",
    "fact_image_builder_change", "fact_image_builder_day", "fact_image_builder_error", "fact_image_builder_exposure",
    "fact_image_builder_state_span", "feed_status", "image_builder_agent_settings", "image_builder_endpoints",
    "image_builder_ipv6_addresses", "image_builder_latest", "image_builder_security_groups",
    "image_builder_subnets",
}  # fmt: skip
FLAGS = (
    "is_", "has_", "allows_", "reaches_", "uploads_", "enable_", "disable_", "forced", "agent_screenshots_",
)  # fmt: skip
_COLUMN_WORD = re.compile(r"[a-z]+(_[a-z0-9]+)*_(utc|id|key|at|at_least|on|name|json|hours|since|time|timestamp|until)")


def test_both_versions_are_of_one_snapshot_and_match_their_descriptions(published_star: Lake) -> None:
    root = Path(published_star.store.root, "feeds")
    v1, v2 = (json.loads((root / version / "current.json").read_text()) for version in ("v1", "v2"))

    assert v1["snapshot_id"] == v2["snapshot_id"]
    assert {*v2["feeds"]} == STAR
    assert not (root / "v2" / "latest").exists(), "a link changes between two reads"
    assert verify_feeds(published_star.store) == []


def test_every_life_has_a_row_and_every_account_also_where_it_is_gone(published_star: Lake) -> None:
    lives = {
        (r["name"], r["life"]): (r["ended_by"], r["is_current"]) for r in table(published_star, "dim_image_builder")
    }
    accounts = {r["account_id"]: (r["is_covered"], r["label_team"]) for r in table(published_star, "dim_account")}

    assert lives == {
        ("a", 1): (None, True), ("b", 1): ("deleted", False), ("b", 2): (None, True), ("c", 1): ("ended", False),
    }  # fmt: skip
    assert accounts == {"111122223333": (True, "x"), "444455556666": (False, None)}
    assert {r["region"]: r["is_covered"] for r in table(published_star, "dim_region")} == {
        "eu-west-1": True, "us-east-1": True,
    }  # fmt: skip


def test_changes_and_days_are_of_the_life_in_which_they_happened(published_star: Lake) -> None:
    changes = [
        (r["image_builder_life_key"][23:], r["change"]) for r in table(published_star, "fact_image_builder_change")
    ]
    days = {r["image_builder_life_key"][23:] for r in table(published_star, "fact_image_builder_day")}

    assert sorted(changes) == [
        ("a/1", "first_seen"), ("b/1", "deleted"), ("b/1", "first_seen"), ("b/2", "created"),
        ("c/1", "ended"), ("c/1", "first_seen"),
    ]  # fmt: skip
    assert days == {"a/1", "b/1", "b/2", "c/1"}


def test_a_change_has_the_values_of_a_column_and_no_item_in_a_cell(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "w")
    lake.commit(ok(A, builder("a", state="RUNNING")))
    lake.commit(ok(A, builder("a", state="STOPPED"), builder("b", state="RUNNING")))
    lake.commit(ok(A, builder("b", state="RUNNING")))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(versions=("v2",)))
    rows = table(lake, "fact_image_builder_change")

    assert {row["change"]: (row["old_value"], row["new_value"]) for row in rows} == {
        "first_seen": (None, None), "changed": ("RUNNING", "STOPPED"), "created": (None, None), "deleted": (None, None),
    }  # fmt: skip


def test_nor_has_a_change_of_any_other_resource() -> None:
    feeds = build_star_feeds(load_packaged_contracts(), ())
    changes = [feed for feed in feeds if feed.name.endswith("_change")]

    assert len(changes) > 5
    for feed in changes:
        docs = {column.name: column.doc for column in feed.columns}
        assert [name for name in ("old_value", "new_value") if "JSON" in docs[name]] == [], feed.name
        assert feed.sql.count("case when change = 'changed' then ") == 2, feed.name


@pytest.mark.slow  # as many rows as DuckDB and the files hold in several groups
def test_the_rows_that_a_query_sorts_itself_are_sorted_in_file_and_database(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "w"), create=True)
    for estate in (Estate(25_000), Estate(25_000, hour=1, denied_every=3)):  # retained rows are in other files
        estate.commit(store, estate.write(store))
    publish_feeds(store, load_contracts(), FeedsSettings(versions=("v2",)))
    [feed] = [feed for feed in build_star_feeds(load_contracts(), ()) if feed.sorted_by]
    rows = pq.read_table(folder(Lake(tmp_path / "w")) / f"{feed.name}.parquet", columns=[*feed.sorted_by])
    with closing(duckdb.connect(str(tmp_path / "w/feeds/v2/bi.duckdb"), read_only=True)) as con:
        served = con.execute(f"select {', '.join(feed.sorted_by)} from {feed.name}").fetchall()

    assert rows.num_rows > 50_000
    assert served == sorted(served) == [tuple(row.values()) for row in rows.to_pylist()]


def test_ways_that_are_open_or_unknown_have_a_row_and_closed_ones_have_none(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "w")
    known = {"enable_default_internet_access": True, "disable_imdsv1": True}
    lake.commit(ok(A, builder("known", **known), builder("unknown")))
    publish_feeds(lake.store, lake.contracts, FeedsSettings(versions=("v2",)))
    rows = table(lake, "fact_image_builder_exposure")
    found = {(row["row_key"].split("/", 2)[2], row["is_open"]) for row in rows}

    assert found == {
        ("known/internet", True), ("known/public_endpoint", True), ("known/screenshots", None),
        ("unknown/internet", None), ("unknown/imdsv1", None), ("unknown/public_endpoint", True),
        ("unknown/screenshots", None),
    }  # fmt: skip


def test_the_wide_row_knows_what_marts_and_page_know(published_star: Lake) -> None:
    a, b = table(published_star, "image_builder_latest")
    counts = [(r["quarantined_values"], r["scopes_failed"]) for r in table(published_star, "dim_resource")]

    assert (a["exposures"], a["exposed_by"], a["is_latest_agent"], a["is_running"]) == (1, "internet", True, True)
    assert (a["usd_per_hour"], a["disk_usd_per_month"]) == (0.5, 30.0)
    assert a["run_rate_usd_per_day"] == pytest.approx(12 + 30 * 12 / 365)
    assert (b["is_running"], b["usd_per_hour"], b["run_rate_usd_per_day"]) == (True, None, None)
    assert (a["quarantined"], counts) == (1, [(1, 1)])


def test_money_is_double_and_times_of_files_are_in_utc(published_star: Lake) -> None:
    for name in STAR:
        for field in pq.read_schema(list_files(published_star, name)[0]):
            assert not pa.types.is_decimal(field.type), f"{name}.{field.name}"
            if pa.types.is_timestamp(field.type):
                assert (field.type.unit, field.type.tz) == ("us", "UTC"), f"{name}.{field.name}"
            assert field.name.startswith(FLAGS) is pa.types.is_boolean(field.type), f"{name}.{field.name}"
    rate = next(
        row["run_rate_usd_per_day"] for row in table(published_star, "image_builder_latest") if row["name"] == "a"
    )
    assert isinstance(rate, float)


def test_no_feed_of_any_contract_has_a_type_that_a_client_misreads() -> None:
    feeds = build_star_feeds(load_packaged_contracts(), ("team",), ("owner",))
    types = {(column.type, column.name.endswith("_utc")) for feed in feeds for column in feed.columns}

    assert types == {
        ("VARCHAR", False), ("BOOLEAN", False), ("BIGINT", False), ("DOUBLE", False), ("DATE", False),
        ("TIMESTAMP", True),
    }  # fmt: skip
    zones = {field.type.tz for feed in feeds for field in build_feed_schema(feed) if pa.types.is_timestamp(field.type)}
    assert zones == {"UTC"}


def test_the_database_declares_what_is_never_null_and_the_keys_of_dimensions(published_star: Lake) -> None:
    with duckdb.connect(str(Path(published_star.store.root, "feeds/v2/bi.duckdb")), read_only=True) as con:
        rows = con.execute(
            "select table_name, constraint_type, constraint_column_names from duckdb_constraints()"
        ).fetchall()
    keys = {name: columns for name, kind, columns in rows if kind == "PRIMARY KEY"}
    required = {(name, columns[0]) for name, kind, columns in rows if kind == "NOT NULL"}
    feeds = build_star_feeds(load_contracts(), ())

    assert keys == {feed.name: [feed.key] for feed in feeds if feed.name.startswith("dim_") or "latest" in feed.name}
    assert required == {(feed.name, column) for feed in feeds for column in feed.required}


def test_rows_of_facts_say_nothing_of_the_snapshot_and_feed_status_says_it_once(published_star: Lake) -> None:
    feeds = build_star_feeds(load_packaged_contracts(), ("team",))
    stamped = {feed.name for feed in feeds if {"as_of_utc", "snapshot_id"} & {c.name for c in feed.columns}}

    assert stamped == {feed.name for feed in feeds if not feed.name.startswith("fact_")}
    status = table(published_star, "feed_status")
    assert {row["snapshot_id"] for row in status} == {_load_current(published_star)["snapshot_id"]}


def test_the_package_names_the_dimension_of_every_key(published_star: Lake) -> None:
    package = json.loads((folder(published_star) / "datapackage.json").read_text())
    days = next(r for r in package["resources"] if r["name"] == "fact_image_builder_day.2026-01")

    assert package["feeds_version"] == "v2"
    assert {k["fields"][0]: k["reference"]["resource"] for k in days["schema"]["foreignKeys"]} == {
        "account_id": "dim_account", "region": "dim_region", "day": "dim_date",
        "image_builder_life_key": "dim_image_builder",
    }  # fmt: skip


def test_a_key_that_is_in_no_dimension_is_found(published_star: Lake, tmp_path: Path) -> None:
    lake = Lake(Path(shutil.copytree(published_star.store.root, tmp_path / "warehouse", symlinks=True)))
    file = folder(lake) / "fact_image_builder_exposure.parquet"
    rows = pq.read_table(file)
    wrong = pa.array(["111122223333/eu-west-1/a/7"] * rows.num_rows)
    named = rows.column_names.index("image_builder_life_key")
    file.chmod(0o600)
    pq.write_table(rows.set_column(named, rows.schema.field(named), wrong), file)

    assert any("1 values of image_builder_life_key are not in dim_image_builder" in p for p in verify_feeds(lake.store))


def test_feeds_with_a_key_that_is_in_no_dimension_are_not_published(published_star: Lake) -> None:
    contracts = published_star.contracts
    with (
        SharedConnection(published_star.store, contracts) as shared,
        open_feed_connection(shared) as connection,
    ):
        connection.con.execute("attach ':memory:' as filled")
        connection.con.execute("create table filled.dim_region as select 'eu-west-1' as region")
        connection.con.execute(
            "create table filled.things as select unnest(['eu-west-1', 'eu-west-2', null]) as region"
        )
        things = Feed("things", "", (), "thing", "", {"region": "dim_region"}, required=frozenset({"thing"}))
        with pytest.raises(ContractError, match="1 values of region are not in dim_region, such as 'eu-west-2'"):
            check_foreign_keys(connection, [things])


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_what_a_feed_reads_is_what_its_header_says(file: SqlFile) -> None:
    statement = "\n".join(line for line in file.sql.splitlines() if not line.startswith("--"))
    own = set(re.findall(r"^(?:with )?(\w+) as \($", statement, re.M))

    assert {*file.reads} == {*re.findall(r"(?:from|join) (\w+)", statement)} - own
    assert file.place == f"sql/feeds/v2/{file.name}.sql"


def test_every_relation_leads_to_the_key_of_a_feed() -> None:
    feeds = build_star_feeds(load_packaged_contracts(), ("team",), ("owner",))

    keys = {feed.name: feed.key for feed in feeds}
    relations = [(feed.name, column, to) for feed in feeds for column, to in feed.foreign_keys.items()]
    assert relations
    assert [relation for relation in relations if keys.get(relation[2]) != relation[1]] == []
    assert {feed.name for feed in feeds if feed.name.startswith("fact_") and not feed.foreign_keys} == set()


def test_history_days_limits_the_facts_that_grow_and_no_dimension() -> None:
    assert {feed.name for feed in build_star_feeds(load_contracts(), ()) if feed.history} == {
        "fact_export_run", "fact_image_builder_change", "fact_image_builder_day", "fact_image_builder_state_span",
    }  # fmt: skip


def test_descriptions_name_columns_that_exist() -> None:
    feeds = build_star_feeds(load_packaged_contracts(), ("team",), ("owner",))
    known = (
        {column.name for feed in feeds for column in feed.columns} | {feed.name for feed in feeds} | {"account_labels"}
    )

    assert {
        (feed.name, column.name, word)
        for feed in feeds
        for column in feed.columns
        for word in _list_column_words(column.doc)
        if word not in known
    } == set()


def _list_column_words(doc: str) -> Iterator[str]:
    """Yield the words of a description that can only be names of columns or feeds."""
    return (word for word in re.findall(r"[\w./-]*\w", doc) if _COLUMN_WORD.fullmatch(word))


def test_the_page_of_the_star_is_up_to_date() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tables" / FEEDS_PAGE).read_text("utf-8")

    assert page == render_feeds_page(load_contracts())
    assert {*re.findall(r"^## (\w+)$", page, re.M)} == STAR


def test_the_wide_row_has_every_column_of_the_contract() -> None:
    contract = next(c for c in load_contracts() if c.name == "image_builders")
    latest = next(feed for feed in build_star_feeds(load_contracts(), ()) if feed.name == "image_builder_latest")
    names = {column.name for column in latest.columns}
    replaced = {"snapshot_id", "latest_appstream_agent_version"}  # the latter is is_latest_agent

    assert {c.name for c in contract.item_table.columns if not {c.name, f"{c.name}_utc"} & names} - replaced == set()


def test_tags_are_columns_where_their_resource_is_on() -> None:
    with pytest.raises(SettingsError, match="the resource tags is off"):
        build_star_feeds(load_contracts(), (), ("owner",))
    feeds: dict[str, Feed] = {f.name: f for f in build_star_feeds(load_packaged_contracts(), (), ("Cost Centre",))}

    for name in ("dim_image_builder", "image_builder_latest", "fleet_latest"):
        assert [c.name for c in feeds[name].columns][-2:] == ["tags_json", "tag_cost_centre"]


@pytest.mark.slow
def test_a_builder_that_is_gone_has_the_arn_and_the_tags_that_were_known_last(export: Export) -> None:
    export.accounts, export.regions = ("111122223333",), ("eu-west-1",)
    export.contracts = list(load_contract_set(resources=["image_builders", "tags"]))
    start = "arn:aws:appstream:eu-west-1:111122223333:image-builder/"

    def run(*names: str, **owners: str | None) -> None:
        items = [image_builder(name, Arn=f"{start}{name}", DisplayName=f"The {name}") for name in names]
        export.aws.put(A, *items)
        for name, owner in owners.items():
            export.aws.put_tags(A, f"{start}{name}", owner=owner)
        assert export.run().exit_code == 0

    run("again", "bare", "gone", "lost", "stays", again="me", bare="me", gone="me", lost="me", stays="me")
    run(bare=None, gone="you")
    export.aws.remove(A, "again", "bare", "gone", "lost")
    run(gone=None)
    run("again", again="you", stays="you")
    store = LocalStore(Path(export.warehouse))
    publish_feeds(store, export.contracts, FeedsSettings(versions=("v2",), tags=("owner",)))
    rows = load_feed(store, "v2/dim_image_builder").to_pylist()

    assert [row["arn"] == f"{start}{row['name']}" for row in rows] == [True] * 6
    assert {row["display_name"] for row in rows if row["is_current"]} == {"The again", "The stays"}
    assert {(row["name"], row["life"]): row["tag_owner"] for row in rows} == {
        ("again", 1): "me", ("again", 2): "you", ("bare", 1): None, ("gone", 1): "you", ("lost", 1): "me",
        ("stays", 1): "you",
    }  # fmt: skip
    assert [row["tags_json"] for row in rows if row["name"] == "gone"] == ['{"owner":"you"}']


@pytest.mark.slow
def test_what_could_not_be_read_and_what_is_unknown_is_counted_by_resource_scope_and_builder(export: Export) -> None:
    export.accounts, export.regions = ("111122223333",), ("eu-west-1",)
    odd = image_builder("odd", subnets=["subnet-1", 5], Platform=7, DisableIMDSV1="no", Surprise=1, State="DREAMING")
    export.aws.put(A, odd, image_builder("plain"), image_builder(""))
    export.run()
    store = LocalStore(Path(export.warehouse))
    publish_feeds(store, export.contracts, FeedsSettings(versions=("v2",)))
    [resource], [scope], rows = (
        load_feed(store, f"v2/{name}").to_pylist() for name in ("dim_resource", "dim_scope", "image_builder_latest")
    )

    assert {name: value for name, value in resource.items() if name.startswith(("quarantined", "drift"))} == {
        "quarantined_items": 1, "quarantined_elements": 1, "quarantined_values": 2, "drift_fields": 1,
        "drift_values": 1,
    }  # fmt: skip
    assert (scope["quarantined"], {row["name"]: row["quarantined"] for row in rows}) == (4, {"odd": 3, "plain": 0})


@pytest.mark.slow
def test_a_failed_check_keeps_the_star_as_it_is_and_its_status_says_why(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", state="OLD")))
    publish_feeds(lake.store, lake.contracts)
    lake.commit(ok(A, builder("a", state="NEW")))
    found = CheckResult(name="orphans", doc="", severity="error", rows=3)
    stopped = publish_feeds(lake.store, lake.contracts, check_results={2: [found]})

    assert stopped.star is not None
    assert [row["state"] for row in table(lake, "image_builder_latest")] == ["OLD"]
    assert {row["is_ok"] for row in table(lake, "feed_status")} == {False}
    assert GenerationStore(lake.store, file_mode=0o600, version=V2).require_current().seq == 1
    assert verify_feeds(lake.store) == []


@pytest.mark.slow
def test_whatever_is_wrong_with_v2_readers_of_v1_have_the_new_snapshot(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", state="OLD")))
    publish_feeds(lake.store, lake.contracts)
    lake.commit(ok(A, builder("a", state="NEW")))
    database = Path(lake.store.root, "feeds/v2/bi.duckdb")
    database.unlink()
    (database / "odd").mkdir(parents=True)
    with pytest.raises((ExportError, OSError)):
        publish_feeds(lake.store, lake.contracts)

    assert _load_seqs(lake) == [2, 1]
    assert [row["state"] for row in table(lake, "image_builder_latest")] == ["OLD"]
    shutil.rmtree(database)
    publish_feeds(lake.store, lake.contracts)
    assert _load_seqs(lake) == [2, 2]
    assert verify_feeds(lake.store) == []


def _load_current(lake: Lake) -> dict[str, Any]:
    return json.loads(Path(lake.store.root, "feeds/v2/current.json").read_text())


def _load_seqs(lake: Lake) -> list[int]:
    stores = [GenerationStore(lake.store, file_mode=0o600, version=version) for version in VERSIONS]
    return [generations.require_current().seq for generations in stores]


@pytest.mark.slow
def test_the_end_of_a_life_that_the_next_one_follows_at_once_is_its_own(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    for day in (1, 2):
        lake.commit(ok(A, builder("a", state="RUNNING", created_time=datetime(2026, 1, day, tzinfo=UTC))))
    publish_feeds(lake.store, lake.contracts)
    changes = [(r["image_builder_life_key"][23:], r["change"]) for r in table(lake, "fact_image_builder_change")]

    assert sorted(changes) == [("a/1", "deleted"), ("a/1", "first_seen"), ("a/2", "created")]
    assert verify_feeds(lake.store) == []


@pytest.mark.slow
def test_without_v1_its_folder_is_removed_and_all_that_reads_feeds_finds_the_star(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake, alone = Lake(tmp_path / "warehouse"), FeedsSettings(versions=("v2",))
    lake.commit(ok(A, builder("a", state="RUNNING")))
    both = publish_feeds(lake.store, lake.contracts)
    star = publish_feeds(lake.store, lake.contracts, alone)
    publish_feeds(lake.store, lake.contracts, alone)

    why = "its feeds are removed, because [feeds] versions leaves them out"
    assert [r.getMessage() for r in caplog.records] == [f"{lake.store.root}/feeds/v1: {why}"], "once"
    assert both.star is not None
    assert (star.star, {*star.rows}) == (None, {*both.star.rows})
    assert [path for path in Path(lake.store.root, "feeds/v1").rglob("*") if path.is_symlink() or path.is_file()] == []
    assert verify_feeds(lake.store) == []
    assert diff_feeds(lake.store, lake.contracts, alone) == []
    assert load_feed(lake.store, "fact_image_builder_day").num_rows == star.rows["fact_image_builder_day"] > 0
    found = load_published_feeds(lake.store)
    assert found is not None
    assert (found.version, found.rows) == ("v2", star.rows)
    names = [output.name for output in load_served_outputs(lake.store)]
    assert names == ["catalog", "feeds v2", "bi.duckdb v2", "report"]
    assert publish_feeds(lake.store, lake.contracts).star is not None, "and back"


OWN = """-- mine: One row.
-- reads: feed_snapshot
-- key: mine_key
-- mine_key varchar: Key.
-- scope_key varchar: Key of coverage.
-- usd decimal(18,4): Money.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed.
select
    'k' as mine_key,
    'image_builders/{}' as scope_key,
    1.5::decimal(18, 4) as usd,
    as_of_utc,
    snapshot_id
from feed_snapshot
"""


def _publish_own(lake: Lake, folder: Path, scope: str) -> None:
    (folder / "feeds").mkdir(parents=True)
    (folder / "feeds" / "mine.sql").write_text(OWN.format(scope))
    publish_feeds(lake.store, load_contract_set(sql_folder=folder))


@pytest.mark.slow
def test_feeds_of_users_are_in_both_versions_and_their_keys_are_checked_in_v2(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", state="RUNNING")))
    _publish_own(lake, tmp_path / "good", A)

    assert [(row["usd"], type(row["usd"])) for row in table(lake, "mine")] == [(1.5, float)]
    with pytest.raises(ContractError, match="feed mine: 1 values of scope_key are not in dim_scope"):
        _publish_own(lake, tmp_path / "bad", B)
    assert verify_feeds(lake.store) == []
