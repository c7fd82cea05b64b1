"""Whatever a reader sends, no byte changes and nothing outside is read: every hostile statement at every entry."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appstream_export.errors import QueryError
from appstream_export.lake.catalog.connect import connect_unchecked, connect_warehouse, open_catalog_connection
from appstream_export.lake.catalog.named_queries import get_named_query, run_named_query
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.duckdb import lock_connection
from appstream_export.lake.snapshots.manifest import load_head
from tests.lake.hostile import CANARY, list_hostile_statements
from tests.lake.lakes import EVERYWHERE, A, Lake, builder, ok
from tests.slices import long_but

Entry = Callable[[duckdb.DuckDBPyConnection, str], Any]
GLOBAL_SETTINGS = "select name, value from duckdb_settings() where scope = 'GLOBAL' order by all"
STATEMENTS = list_hostile_statements()


def send_to_sql(con: duckdb.DuckDBPyConnection, statement: str) -> Any:
    """As `sql` does."""
    return run_query(con, statement).to_pylist()


def send_as_question(con: duckdb.DuckDBPyConnection, statement: str) -> Any:
    """As `query` does with a file in sql/queries."""
    return run_named_query(con, replace(get_named_query("who_uses"), sql=statement, params=()), {}).to_pylist()


def send_as_parameter(con: duckdb.DuckDBPyConnection, statement: str) -> Any:
    """As `query who_uses -p id=...` does."""
    return run_named_query(con, get_named_query("who_uses"), {"id": statement}).to_pylist()


def send_to_connection(con: duckdb.DuckDBPyConnection, statement: str) -> Any:
    """As a caller of `connect()` does, in a transaction or not."""
    try:
        return con.execute(statement).fetchall()
    finally:
        with suppress(duckdb.Error):
            con.execute("rollback")


ENTRIES: Mapping[str, tuple[Callable[..., duckdb.DuckDBPyConnection], Entry]] = {
    "sql": (connect_warehouse, send_to_sql),
    "question": (connect_warehouse, send_as_question),
    "parameter": (connect_warehouse, send_as_parameter),
    "connect": (connect_unchecked, send_to_connection),
}


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside the warehouse whose files hold the canary, as do the environment and the home folder."""
    folder = tmp_path / "outside"
    (folder / "home").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("CANARY", CANARY)
    monkeypatch.chdir(folder)
    for name in ("secret.csv", "secret.txt", "home/secret.csv"):
        (folder / name).write_text(f"a\n{CANARY}\n")
    (folder / "secret.json").write_text(f'{{"a": "{CANARY}"}}')
    (folder / "schema.sql").write_text(f"create table {CANARY.replace('-', '_')} (a int);")
    (folder / "load.sql").write_text("")
    (folder / "evil.duckdb_extension").write_text(CANARY)
    pq.write_table(pa.table({"a": [CANARY]}), folder / "secret.parquet")
    with duckdb.connect(str(folder / "x.duckdb")) as con:
        con.execute(f"create table secret as select '{CANARY}' as a")
    return folder


def read_everything(lake: Lake, outside: Path) -> dict[str, bytes]:
    """Return each byte of the warehouse and of the folder beside it, by name."""
    found = {f"outside/{p.relative_to(outside)}": p.read_bytes() for p in outside.rglob("*") if p.is_file()}
    return found | {stored.path: lake.store.read_bytes(stored.path) for stored in lake.store.list_all()}


def name_places(lake: Lake, outside: Path, con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return what the statements' placeholders mean for a connection."""
    [(views,)] = con.execute("select string_agg(sql, ' ') from duckdb_views() where schema_name = 'files'").fetchall()
    head = load_head(lake.store)
    assert head is not None
    path = head.tables["image_builders"].files[0].path
    data = next(word for word in views.split("'") if word.endswith(path))
    [(scratch,)] = con.execute("select current_setting('temp_directory')").fetchall()
    return {"data": data, "local": lake.store.resolve_uri(path), "warehouse": str(lake.store.root),
            "outside": str(outside), "scratch": scratch}  # fmt: skip


def test_there_are_hundreds_of_hostile_statements() -> None:
    assert len(STATEMENTS) > 300


@pytest.mark.slow
@EVERYWHERE
@pytest.mark.parametrize("entry", long_but(ENTRIES, "connect", "sql"))
def test_no_statement_changes_a_byte_or_reads_what_is_not_the_warehouses(lake: Lake, entry: str, outside: Path) -> None:
    lake.commit(ok(A, builder("a", subnets=["s"])))
    lake.publish()
    with lake.store.open_output("tables/planted.csv") as file:
        file.write(f"a\n{CANARY}\n".encode())
    connect, send = ENTRIES[entry]
    with closing(connect(str(lake.store.root), s3=lake.s3)) as con:
        places, before = name_places(lake, outside, con), read_everything(lake, outside)
        settings = con.execute(GLOBAL_SETTINGS).fetchall()
        assert any(CANARY.encode() in content for content in before.values())
        for template in STATEMENTS:
            statement = template.format(**places)
            answer, error = None, ""
            try:
                answer = send(con, statement)
            except (QueryError, duckdb.Error) as refused:
                error = str(refused)
            assert entry in ("connect", "parameter") or error, statement
            assert entry != "parameter" or answer == [], statement
            assert CANARY not in f"{answer} {error.replace(statement, '')}", statement
            assert "root:" not in str(answer), statement
            if entry == "connect" and not lake.s3:
                assert read_everything(lake, outside) == before, statement
        assert read_everything(lake, outside) == before
        assert con.execute(GLOBAL_SETTINGS).fetchall() == settings


@EVERYWHERE
def test_a_connection_reads_only_files_that_manifests_name(lake: Lake) -> None:
    manifest = lake.commit(ok(A, builder("a", subnets=["s"])))
    with lake.store.open_output("tables/image_builders/snapshot_id=x/fresh-00000.parquet") as planted:
        pq.write_table(pa.table({"a": [CANARY]}), planted)
    with closing(connect_unchecked(str(lake.store.root), s3=lake.s3)) as con:
        [(allowed, folders, scratch)] = con.execute(
            "select current_setting('allowed_paths'), current_setting('allowed_directories'),"
            " current_setting('temp_directory')"
        ).fetchall()
        root = name_places(lake, Path(), con)["data"].partition("/tables/")[0]

        assert {path.removeprefix(f"{root}/") for path in allowed} == {file.path for file in manifest.files}
        assert [folder.rstrip("/") for folder in folders] == [scratch]
        with pytest.raises(duckdb.PermissionException, match="disabled by configuration"):
            con.execute(f"from read_parquet('{root}/tables/image_builders/snapshot_id=x/fresh-00000.parquet')")
        assert con.execute("select name from image_builders").fetchall() == [("a",)]


def test_a_spill_folder_that_a_cleaner_of_temporary_files_removed_is_made_again(lake: Lake) -> None:
    def lock() -> Path:
        with closing(open_catalog_connection(lake.store, lambda: lake.contracts)) as con:
            lock_connection(con, folder=lake.store.resolve_uri("tables"), timeout_s=0)
            return Path(str(con.execute("select current_setting('temp_directory')").fetchall()[0][0])).parent

    lake.commit(ok(A, builder("a")))
    removed = lock()
    shutil.rmtree(removed)

    assert lock().is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("published", long_but([True, False], False))
def test_a_sort_beyond_the_memory_limit_spills_outside_the_warehouse(lake: Lake, published: bool) -> None:
    lake.commit(ok(A, builder("a")))
    if published:
        lake.publish()
    with closing(open_catalog_connection(lake.store, lambda: lake.contracts)) as con:
        con.execute("set memory_limit = '40MB'")
        lock_connection(con, folder=lake.store.resolve_uri("tables"), timeout_s=0)
        numbered = "select row_number() over (order by hash(range)) as n, range from range(2_000_000)"
        rows = run_query(con, f"select max(n) as n from ({numbered})")
        [(scratch, limit)] = con.execute(
            "select current_setting('temp_directory'), current_setting('max_temp_directory_size')"
        ).fetchall()

        assert rows.to_pylist() == [{"n": 2_000_000}]
        assert Path(scratch).is_dir(), "nothing was spilled"
        assert Path(scratch).parent.stat().st_mode & 0o777 == 0o700
        assert not Path(scratch).is_relative_to(lake.store.root)
        assert limit == "10.0 GiB"
        assert not (lake.store.root / ".scratch").exists()
    assert not Path(scratch).exists()


@pytest.mark.slow
@pytest.mark.parametrize("connect", long_but([connect_warehouse, connect_unchecked], connect_unchecked))
def test_a_statement_ends_at_its_time_limit_and_the_connection_goes_on(
    lake: Lake, connect: Callable[..., duckdb.DuckDBPyConnection]
) -> None:
    lake.commit(ok(A, builder("a")))
    endless = "select count(*) from range(10_000_000_000) a, range(10_000_000_000) b where hash(a.range + b.range) = 1"
    with closing(connect(str(lake.store.root), timeout_s=0.2)) as con:
        with pytest.raises(QueryError, match="longer than its time limit"):
            run_query(con, endless)
        with pytest.raises(duckdb.InterruptException):
            con.execute(endless).fetchall()
        assert con.execute("select name from image_builders").fetchall() == [("a",)]


DEEP = {
    "brackets": (3_000, lambda n: "select " + "(" * n + "1" + ")" * n),
    "not": (30_000, lambda n: "select " + "not " * n + "true"),
    "scalar subqueries": (300, lambda n: "select " + "(select " * n + "1" + ")" * n),
    "exists": (300, lambda n: "select " + "exists(select " * n + "1" + ")" * n),
    "with in with": (1_000, lambda n: "with a as (" * n + "select 1" + ") select 1" * n),
    "cross joins": (1_500, lambda n: "select 1 from (select 1) t" + ", (select 1)" * n),
    "casts": (3_000, lambda n: "select 1" + "::int" * n),
    "lists": (3_000, lambda n: "select " + "[" * n + "1" + "]" * n),
    "types": (3_000, lambda n: "select null::" + "struct(a " * n + "int" + ")" * n),
    "hidden in an explain": (300, lambda n: "explain select " + "(select " * n + "1" + ")" * n),
}


@pytest.mark.parametrize("shape", DEEP)
def test_a_deeply_nested_statement_is_a_query_error(lake: Lake, shape: str) -> None:
    lake.commit(ok(A, builder("a")))
    depth, build = DEEP[shape]
    with pytest.raises(QueryError, match="nested too deeply") as refused:
        run_query(lake.con, build(depth))

    assert refused.value.exit_code == 2
    assert len(str(refused.value)) < 500
    assert lake.names() == ["a"]


def test_a_long_statement_is_no_deep_one(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))

    assert lake.sql("select count(*) from image_builders where name in (" + "'x', " * 5_000 + "'a')") == [1]
    assert lake.sql("select true" + " and true" * 5_000) == [True]


@pytest.mark.parametrize(
    "statement",
    [
        "select count(*) from range(3), unnest([1, 2]), generate_series(1, 2)",
        "select * from image_builders_as_of('2100-01-01') join lake.commits using (snapshot_id)",
        "from json_each('[1]')",
        "select table_name from information_schema.tables where table_name = 'image_builders'",
        "select view_name from duckdb_views() where view_name = 'image_builders'",
        "select '/etc/passwd' as path, 'a.csv' as file",
        'with "my table" as (select 1 as a) from "my table"',
        "select price_at('eu-west-1', 'stream.standard.medium', '*', date '2026-01-01')",
        "show all tables",
        "describe lake.commits",
        "from image_builders pivot (count(*) for state in ('RUNNING'))",
        "select list_transform([1], lambda x: x + 1), try(1), {'a': 1}.a, 1.5::decimal(9, 2), interval 1 day",
        "explain (select 1)",
    ],
)
def test_statements_that_read_the_catalog_work(lake: Lake, statement: str) -> None:
    lake.commit(ok(A, builder("a")))

    assert run_query(lake.con, statement).num_rows > 0


def test_a_null_character_does_not_cut_what_is_checked(lake: Lake) -> None:
    lake.commit(ok(A, builder("a")))

    with pytest.raises(QueryError, match="NUL"):
        run_query(lake.con, "select 1\0; drop view image_builders")
