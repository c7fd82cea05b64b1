"""A catalog that something else planted: nothing is published or checked through it, and verify names its views."""

import json
import re
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from appstream_export.contracts import load_sql_files
from appstream_export.errors import QueryError
from appstream_export.feeds import publish_feeds
from appstream_export.lake.catalog import checks
from appstream_export.lake.catalog.connect import connect_warehouse, publish_catalog
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.catalog.rendered import connect_as_rendered
from appstream_export.lake.catalog.shown import load_catalog_seq
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.storage.checksum_trailer import strip_checksum
from tests.lake.lakes import A, B, Lake, builder, failed, ok
from tests.slices import long_but


@pytest.fixture
def shared(lake: Lake) -> Lake:
    """A published warehouse."""
    lake.commit(ok(A, builder("a", subnets=["s"])), failed(B))
    lake.publish()
    return lake


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the operator's, beside the warehouse."""
    file = tmp_path / "credentials"
    file.write_text("aws_secret_access_key = hush")
    return file


def plant(lake: Lake, *statements: str, digest: bytes | None = None) -> None:
    """Change the published catalog as somebody would who may write the folder, with all of its checksums right."""
    file = Path(lake.store.root) / "warehouse.duckdb"
    content = strip_checksum(file.read_bytes())
    assert content is not None
    forged = file.with_name("forged.duckdb")
    end = content.rindex(b"views ")
    forged.write_bytes(content[:end])
    with closing(duckdb.connect(str(forged))) as con:
        for statement in statements:
            con.execute(statement)
    whole = forged.read_bytes() + (digest or content[end:])
    forged.write_bytes(whole + f"sha256 {sha256(whole).hexdigest()}\n".encode())
    forged.replace(file)


def everything_published(lake: Lake) -> str:
    """Every row of the served feeds, and every view of the catalog."""
    root = Path(lake.store.root)
    current = json.loads((root / "feeds/v1/current.json").read_text())
    feeds = [
        pq.read_table(root / "feeds/v1" / path, partitioning=None).to_pylist() for path in current["feeds"].values()
    ]
    with closing(duckdb.connect(str(root / "warehouse.duckdb"), read_only=True)) as con:
        views = con.sql("select view_name, sql from duckdb_views() where not internal").fetchall()
        return str((feeds, views, con.sql("select function_name, macro_definition from duckdb_functions()").fetchall()))


PLANTS: dict[str, Callable[[Path], str]] = {
    "a view": lambda file: (
        "create or replace view accounts as select snapshot_id, account_id, content as account_name, ou_path, state,"
        f" source, first_seen_at, last_seen_at, labels_json from files.accounts, read_text('{file}')"
    ),
    "a view over files": lambda file: (
        "create or replace view files.image_builders as select * replace (content as display_name)"
        f" from (from files.image_builders_history) as r, read_text('{file}')"
    ),
    "a macro": lambda file: f"create or replace macro utc_day(t) as (select content from read_text('{file}'))",
    "a macro that hides a function": lambda file: (
        f"create macro count_star() as table select 1 where exists (from read_text('{file}'))"
    ),
    "a table": lambda file: f"insert into lake.commits select 99, content, now(), true from read_text('{file}')",
    "one view more": lambda file: f"create view spare as from read_text('{file}')",
    "one view over files more": lambda file: f"create view files.spare as from read_text('{file}')",
    "one table more": lambda file: f"create table spare_rows as from read_text('{file}')",
    "what the catalog shows": lambda file: (
        "create table lake.kept as from lake.shows; drop table lake.shows;"
        f"create view lake.shows as select k.* from lake.kept as k, read_text('{file}')"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("planted", long_but(PLANTS, "a view", "a macro", "one table more", "what the catalog shows"))
def test_verify_names_what_something_else_changed_in_the_catalog(shared: Lake, secret: Path, planted: str) -> None:
    plant(shared, PLANTS[planted](secret))

    (problem,) = verify_warehouse(shared.store, shared.contracts).problems
    assert (problem.path, problem.is_note) == ("warehouse.duckdb", False)
    assert re.search("something else changed|cannot be opened", str(problem))  # it is read on a locked connection


@pytest.mark.slow
@pytest.mark.parametrize("condition", long_but(["true", "current_setting('enable_external_access')"], "true"))
def test_a_planted_view_of_what_the_catalog_shows_runs_for_no_reader(
    shared: Lake, tmp_path: Path, condition: str
) -> None:
    written = tmp_path / "written"
    copy = f"with x as (copy (select 1) to ''{written}'') from x"
    plant(
        shared,
        "create table lake.kept as from lake.shows",
        "drop table lake.shows",
        "create view lake.shows as select k.* from lake.kept as k where case when "
        f"{condition} then (select count(*) from json_execute_serialized_sql(json_serialize_sql('{copy}'))) >= 0 end",
    )

    with closing(connect_warehouse(str(shared.store.root))) as con:
        assert run_query(con, "select name from image_builders").to_pylist() == [{"name": "a"}]
    with suppress(Exception):  # whatever it reports of such a catalog
        load_catalog_seq(shared.store)
    assert verify_warehouse(shared.store, shared.contracts).problems != ()
    with closing(connect_as_rendered(shared.store, shared.contracts)) as con:
        assert con.sql("select name from image_builders").fetchall() == [("a",)]
    assert not written.exists()


@pytest.mark.slow
def test_what_was_planted_in_the_catalog_is_neither_published_nor_kept(shared: Lake, secret: Path) -> None:
    plant(shared, *(planted(secret) for planted in PLANTS.values()))

    publish_feeds(shared.store, shared.contracts)
    shared.publish()
    published = everything_published(shared)
    assert "hush" not in published
    assert str(secret) not in published
    assert verify_warehouse(shared.store, shared.contracts).problems == ()


@pytest.mark.slow
def test_checks_run_on_the_rendered_views_and_not_on_planted_ones(shared: Lake) -> None:
    def found() -> dict[str, int]:
        with connect_as_rendered(shared.store, shared.contracts) as con:
            return {result.name: result.rows for result in checks.run_checks(con)}

    before = found()
    plant(shared, "create or replace view coverage as select * from scope_runs where false")

    assert found() == before
    assert any(before.values()), "a failed scope needs attention"


@pytest.mark.slow
def test_a_catalog_that_was_compared_before_is_not_trusted_once_it_is_changed(shared: Lake) -> None:
    connect_as_rendered(shared.store, shared.contracts).close()
    plant(shared, "create or replace view coverage as select 1 as planted")

    with connect_as_rendered(shared.store, shared.contracts) as con:
        assert con.sql("select count(*) from coverage").fetchall() == [(2,)]
    publish_catalog(shared.store, shared.contracts)
    assert run_query(connect_warehouse(str(shared.store.root)), "from coverage").num_rows == 2


@pytest.mark.slow
def test_a_catalog_that_was_compared_before_is_not_used_for_the_next_snapshot(shared: Lake) -> None:
    connect_as_rendered(shared.store, shared.contracts).close()
    shared.commit(ok(A, builder("b")))

    with connect_as_rendered(shared.store, shared.contracts) as con:
        assert con.sql("select name from image_builders").fetchall() == [("b",)]


@pytest.mark.slow
def test_a_catalog_of_another_version_is_a_note_and_is_not_used(shared: Lake) -> None:
    plant(shared, "drop view coverage", digest=b"views " + b"0" * 64 + b"\n")

    (note,) = verify_warehouse(shared.store, shared.contracts).problems
    assert note.is_note
    assert "another version or configuration published coverage" in str(note)
    with connect_as_rendered(shared.store, shared.contracts) as con:
        assert con.sql("select count(*) from coverage").fetchall() == [(2,)]


@pytest.mark.slow
def test_a_catalog_for_another_place_is_a_note_unless_the_settings_name_that_place(
    shared: Lake, tmp_path: Path
) -> None:
    mount = str(tmp_path / "mount")
    publish_catalog(shared.store, shared.contracts, root=mount)

    (note,) = verify_warehouse(shared.store, shared.contracts).problems
    assert note.is_note
    assert f"names its files below file://{mount}" in str(note)
    assert verify_warehouse(shared.store, shared.contracts, catalog_root=mount).problems == ()


def test_a_sound_catalog_is_used_as_it_is_and_its_connection_opens_no_other_file(shared: Lake, secret: Path) -> None:
    with connect_as_rendered(shared.store, shared.contracts) as con:
        assert con.sql("select current_database()").fetchall() == [("warehouse",)]
        assert con.sql("select name from image_builders").fetchall() == [("a",)]
        for statement in (
            f"from read_text('{secret}')",
            f"copy (select 1) to '{shared.store.root}/x.csv'",
            f"from read_text('{shared.store.root}/warehouse.duckdb')",
        ):
            with pytest.raises(duckdb.PermissionException):
                con.execute(statement)
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            con.execute("set enable_external_access = true")


def test_a_check_that_cannot_run_is_one_line_with_its_name() -> None:
    with closing(duckdb.connect()) as con:
        check = next(check for check in load_sql_files("checks") if check.reads)
        for name in check.reads:
            con.execute(f'create view "{name}" as select 1 as other')

        with pytest.raises(QueryError, match=f"the check {check.name} cannot run: ") as refused:
            checks.run_checks(con)
    assert "\n" not in str(refused.value)
