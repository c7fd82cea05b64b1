"""SQL from users reads, and does nothing else: a list of hostile statements, and mistakes told in one line."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from appstream_export.errors import QueryError
from appstream_export.lake.catalog.connect import connect_warehouse
from appstream_export.lake.catalog.query import run_query
from tests.lake.lakes import A, Lake, builder, ok

REFUSED = r"only statements that read are allowed|one statement at a time"
HOSTILE = [
    "attach '{outside}/x.duckdb'",
    "detach warehouse",
    "use memory",
    "copy (select 1) to '{warehouse}/x.csv'",
    "copy image_builders from '{outside}/secret.csv'",
    "with x as (copy (select 1) to '{warehouse}/x.csv') select 1",
    "with a as (select 1), x as (copy (select 1) to '{warehouse}/x.csv') select * from a",
    "with x as (insert into lake.commits values (9, 'x', now()) returning seq) select * from x",
    "with x as (delete from lake.commits returning seq) select * from x",
    "explain analyze copy (select 1) to '{warehouse}/x.csv'",
    "explain analyze with x as (copy (select 1) to '{warehouse}/x.csv') select 1",
    "--explain \nexplain analyze copy (select 1) to '{warehouse}/x.csv'",
    "/* explain */ explain analyze copy (select 1) to '{warehouse}/x.csv'",
    "explain (analyze) copy (select 1) to '{warehouse}/x.csv'",
    "export database '{warehouse}/x'",
    "import database '{warehouse}/x'",
    "install httpfs",
    "load httpfs",
    "load '{outside}/evil.duckdb_extension'",
    "set enable_external_access = true",
    "set threads = 1",
    "reset TimeZone",
    "pragma database_list; select 1",
    "pragma enable_profiling",
    "create table x (a int)",
    "create temp table x (a int)",
    "create macro m() as 1",
    "create view v as select 1",
    "create secret s (type s3)",
    "drop view image_builders",
    "alter view image_builders rename to x",
    "comment on view image_builders is 'x'",
    "insert into lake.commits values (9, 'x', now())",
    "update lake.commits set seq = 9",
    "delete from lake.commits",
    "truncate lake.commits",
    "select 1; select 2",
    "select 1; drop view image_builders",
    "call pragma_version()",
    "pivot image_builders on state",
    "prepare p as select 1",
    "execute p",
    "begin",
    "checkpoint",
    "vacuum",
    "",
    "-- nothing",
]
OUTSIDE = [
    "select * from read_text('{outside}/secret.csv')",
    "select * from read_csv('{outside}/secret.csv')",
    "select * from read_blob('/etc/passwd')",
    "select * from '{outside}/secret.csv'",
    "select * from read_csv('{warehouse}/../outside/secret.csv')",
    "select * from read_csv('{warehouse}-evil/secret.csv')",
    "select * from glob('{outside}/*')",
    "select * from glob('/etc/*')",
    "select * from sniff_csv('{outside}/secret.csv')",
    "select * from read_csv('https://example.com/x.csv')",
    "select * from query('copy (select 1) to ''{warehouse}/x.csv''')",
    "select * from query('with x as (copy (select 1) to ''{warehouse}/x.csv'') select 1')",
    "select getenv('HOME')",
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A warehouse with one builder, and a secret outside of it; no test may change them."""
    tmp_path = tmp_path_factory.mktemp("places")
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a", subnets=["s"])))
    lake.publish()
    for folder in (tmp_path / "outside", tmp_path / "warehouse-evil"):
        folder.mkdir()
        (folder / "secret.csv").write_text("a\nsecret\n")
    return {"warehouse": lake.store.root, "outside": tmp_path / "outside"}


def files(places: dict[str, Path]) -> dict[Path, bytes]:
    return {p: p.read_bytes() for root in places.values() for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("published", [True, False])
def test_hostile_statements_are_refused_and_do_nothing(
    places: dict[str, Path], tmp_path: Path, published: bool
) -> None:
    if not published:
        places = places | {"warehouse": Path(shutil.copytree(places["warehouse"], tmp_path / "warehouse"))}
        (tmp_path / "warehouse/warehouse.duckdb").unlink()
    con, before = connect_warehouse(str(places["warehouse"])), files(places)

    for statement in HOSTILE:
        with pytest.raises(QueryError) as refused:
            run_query(con, statement.format(**places))
        assert refused.value.exit_code == 2
        assert "\n" not in str(refused.value)
    for statement in OUTSIDE:
        with pytest.raises(QueryError) as refused:
            run_query(con, statement.format(**places))
        assert "secret\n" not in str(refused.value)
    assert files(places) == before
    assert run_query(con, "select name from image_builders").to_pylist() == [{"name": "a"}]


@pytest.mark.parametrize(
    "statement",
    [
        "select name from image_builders",
        "from image_builders",
        "  -- a comment\n select 1 ;",
        "with x as materialized (select * from image_builders) select * from x",
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) select * from n",
        "select 1 union all select 2",
        "values (1)",
        "describe image_builders",
        "show tables",
        "summarize image_builders",
        "explain select * from image_builders",
        "EXPLAIN ANALYZE select * from image_builders",
        "select * from image_builders_as_of('2100-01-01')",
        "select name, subnet_id from image_builders left join image_builder_subnets on image_builder_name = name",
    ],
)
def test_statements_that_read_work(places: dict[str, Path], statement: str) -> None:
    assert run_query(connect_warehouse(str(places["warehouse"])), statement).num_rows > 0


def test_parameters_are_bound(places: dict[str, Path]) -> None:
    con = connect_warehouse(str(places["warehouse"]))

    assert run_query(con, "select ? as x", ["it's"]).to_pylist() == [{"x": "it's"}]
    assert run_query(con, "select $x as x", {"x": 1}).to_pylist() == [{"x": 1}]


@pytest.mark.parametrize(
    ("word", "table"),
    [
        ("builders", "image_builders"),
        ("subnets", "image_builder_subnets"),
        ("security groups", "image_builder_security_groups"),
        ("errors", "image_builder_errors"),
        ("endpoints", "image_builder_endpoints"),
        ("image_bilders", "image_builders"),
    ],
)
def test_a_users_word_for_a_table_is_answered_with_its_name(places: dict[str, Path], word: str, table: str) -> None:
    with pytest.raises(QueryError, match=f'^there is no table "{word.split()[0]}"; did you mean "{table}"\\?$'):
        run_query(connect_warehouse(str(places["warehouse"])), f"select * from {word}")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("selct 1", 'syntax error at or near "selct"'),
        ("select nme from image_builders", '"nme" not found'),
        ("select 'a'::int", "Could not convert string 'a'"),
    ],
)
def test_mistakes_are_told_in_one_line(places: dict[str, Path], statement: str, what: str) -> None:
    con = connect_warehouse(str(places["warehouse"]))
    with pytest.raises(QueryError, match=what) as refused:
        run_query(con, statement)
    assert "\n" not in str(refused.value)
    assert run_query(con, "select 1 as x").to_pylist() == [{"x": 1}], "the connection still works"


def test_no_python_value_is_a_table(places: dict[str, Path]) -> None:
    leak = pa.table({"a": [1]})  # noqa: F841 - DuckDB would find it by its name
    with pytest.raises(QueryError, match="there is no table"):
        run_query(connect_warehouse(str(places["warehouse"])), "select * from leak")
