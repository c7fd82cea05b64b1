"""A catalog's file has SQL in another form than it was written in: views count as altered only if something changed."""

import shutil
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from appstream_export.contracts import load_all_contracts, load_contract_set
from appstream_export.lake.catalog.rendered import connect_as_rendered
from appstream_export.lake.catalog.stored_form import attach_for_writing, print_stored_views
from appstream_export.lake.maintenance.verify import verify_warehouse
from tests.lake.lakes import A, Lake, builder, ok
from tests.lake.test_planted import plant

BRANCHES = "select 'one' as a union all select 'two' union all select 'three'"
# Marts of a user's, as DuckDB accepts them. Each has a column `a`.
SQL = {
    "three_branches": BRANCHES,
    "four_branches": f"select a from ({BRANCHES}) where a not in (values ('x') union select 'y' union select 'z')",
    "branches_by_name": "select 1 as a union by name select 2 as b union by name select 3 as a",
    "mixed_branches": "select 1 as a union select 2 union select 3 except select 4 intersect select 5 except select 6",
    "branches_in_branches": f"with b as ({BRANCHES}) (from b limit 1) union all (from b order by a) union all from b",
    "recursion": "with recursive n(a) as (select 1 union select 7 union select a + 1 from n where a < 9) from n",
    "ctes": "with x as materialized (select 1 as a), y as not materialized (with z as (from x) from z) from y",
    "synonyms": "select 1::int8 as a, '1'::text as b, '1'::varchar(9) as c, 1::decimal as d, 1::bool as e, 1::float4",
    "more_synonyms": "select '2026-01-01'::datetime as a, '1'::bytea as b, cast(null as struct(x text, y int8[])) as c",
    "constants": r"select x'ab' as a, e'it\'s\t' as b, $$it's$$ as c, 'Ünï' as d, -1.50e3 as e, 1_000 as f",
    "pivoted": "from (values ('x', 1::int8), ('y', 2)) as v(k, n) pivot (sum(n::text::int) for k in ('x' as a, 'y'))",
    "unpivoted": "from (select 1 as x, 2 as y) unpivot include nulls (a for k in (x, y))",
    "windows": """select name as a, count(*) filter (where name > 'a'::text) over w as n, lag(name) over (order by name)
        from image_builders window w as (partition by state order by name rows between 1 preceding and 2 following)
        qualify row_number() over (partition by state::text order by name desc nulls last) = 1""",
    "stars": "select * exclude (state) replace (region::text as region) rename (name as a) from image_builders",
    "lambdas": "select list_transform([1, 2], lambda x: x::text || 'a') as a, [x * 2 for x in [1, 2] if x > 1] as b",
    "groups": """select utc_day(observed_at)::text as a, state, count(distinct name) as n from image_builders
        group by rollup (utc_day(observed_at), state) having count(*) > 0 order by all desc limit 10""",
    "joins": """select name::text as a, t.n from image_builders as b asof left join (values (1::int4)) as t(n)
        on observed_at >= make_timestamptz(n::int8) where exists (select 1 union all select 2 union all select 3)""",
    "names": "select name::text as a from image_builders",
    "atop": "from three_branches semi join synonyms on true",
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse of all packaged contracts, and of marts of a user's that are written in many ways; published."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "sql" / "marts").mkdir(parents=True)
    for name, sql in SQL.items():
        reads = "three_branches, synonyms" if name == "atop" else "image_builders"
        header = f"-- {name}: Rows.\n-- reads: {reads}\n-- a varchar: A.\n"
        (folder / "sql" / "marts" / f"{name}.sql").write_text(header + sql)
    resources = [contract.name for contract in load_all_contracts(None)]
    lake = Lake(folder / "warehouse", contracts=load_contract_set(resources=resources, sql_folder=folder / "sql"))
    lake.commit(ok(A, builder("a", state="RUNNING")))
    lake.publish()
    return lake


@pytest.fixture
def mine(published: Lake, tmp_path: Path) -> Lake:
    """A copy of it, to be changed; its catalog has the views that DuckDB stored then."""
    copy = Lake(Path(shutil.copytree(published.store.root, tmp_path / "warehouse")), contracts=published.contracts)
    copy.minute, copy.scopes = published.minute, published.scopes
    copy.publish()
    return copy


def read_comment(lake: Lake) -> object:
    """The comment of a view, which no comparison reads: one that was planted stays if the catalog is reused."""
    with closing(duckdb.connect(str(lake.store.root / "warehouse.duckdb"), read_only=True)) as con:
        return con.execute("select comment from duckdb_views() where view_name = 'coverage'").fetchall()


@pytest.mark.slow
def test_verify_finds_nothing_in_an_untouched_catalog_however_its_views_are_written(published: Lake) -> None:
    with closing(duckdb.connect(str(published.store.root / "warehouse.duckdb"), read_only=True)) as con:
        stored = dict(con.execute("select view_name, sql from duckdb_views() where schema_name = 'main'").fetchall())

    assert SQL.keys() | {"tagged_resources"} <= stored.keys()
    assert verify_warehouse(published.store, published.contracts).problems == ()


@pytest.mark.slow
def test_the_next_catalog_reuses_an_untouched_one_and_publishers_read_it(mine: Lake) -> None:
    plant(mine, "comment on view coverage is 'as it was'")  # so this process has not compared it either
    with closing(connect_as_rendered(mine.store, mine.contracts)) as con:
        assert con.execute("select current_database()").fetchall() == [("warehouse",)]

    plant(mine, "comment on view coverage is 'as it was before'")
    mine.commit(ok(A, builder("b")))
    mine.publish()
    assert read_comment(mine) == [("as it was before",)]
    assert mine.sql("select a from names") == ["b"]
    assert verify_warehouse(mine.store, mine.contracts).problems == ()


@pytest.mark.slow
def test_a_view_that_differs_only_in_what_duckdb_rewrites_is_still_altered(mine: Lake) -> None:
    altered = {
        "constants": SQL["constants"].replace("x'ab'", "x'ac'"),
        "four_branches": SQL["four_branches"].replace("union select 'z'", "union all select 'z'"),
        "synonyms": SQL["synonyms"].replace("int8", "int4"),
        "three_branches": BRANCHES.replace("'three'", "'four'"),
        "unpivoted": SQL["unpivoted"].replace("(x, y)", "(y, x)"),
    }
    plant(mine, *(f"create or replace view {name} as {sql}" for name, sql in altered.items()))

    (problem,) = verify_warehouse(mine.store, mine.contracts).problems
    assert f"something else changed {', '.join(altered)};" in problem.what
    mine.publish()
    assert verify_warehouse(mine.store, mine.contracts).problems == ()


def test_queries_are_printed_as_a_catalogs_file_prints_them_without_their_tables(tmp_path: Path) -> None:
    queries = {name: sql for name, sql in SQL.items() if "image_builders" not in sql and name != "atop"}
    with closing(duckdb.connect()) as con:
        with attach_for_writing(con, str(tmp_path / "bound.duckdb")):
            for name, sql in queries.items():
                con.execute(f"create view warehouse.{name} as {sql}")
        con.execute(f"attach '{tmp_path}/bound.duckdb' as warehouse (read_only)")
        stored = dict(
            con.execute("select view_name, sql from duckdb_views() where database_name = 'warehouse'").fetchall()
        )
        rendered = print_stored_views(tuple(queries.values()))

        assert rendered is not None
        assert [sql.partition(" AS ")[2] for sql in rendered] == [stored[name].partition(" AS ")[2] for name in queries]
        assert "UNION ALL ((" in stored["three_branches"], "the older form"
        assert print_stored_views(("from no_table",)) is not None
