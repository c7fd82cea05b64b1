"""What the files of sql/ say of themselves is what DuckDB finds."""

import re
from collections import Counter
from pathlib import Path

import pytest

from appstream_export.contracts import list_sql_files, list_view_files, load_packaged_contracts, sql_files
from appstream_export.contracts.loader import RESERVED_TABLES
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.errors import ContractError, QueryError
from appstream_export.lake.catalog import run_named_query
from tests.lake.lakes import A, Lake, builder, ok

VIEWS = list_view_files(load_packaged_contracts())
SHORT = {"timestamp with time zone": "timestamptz"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse of one builder."""
    made = Lake(tmp_path_factory.mktemp("headers") / "warehouse", contracts=load_packaged_contracts())
    made.commit(ok(A, builder("a", state="RUNNING")))
    return made


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.name)
def test_columns_stand_in_the_header_in_order_with_their_types(view: SqlFile, lake: Lake) -> None:
    found = [(n, t.lower()) for n, t in lake.sql(f"select column_name, column_type from (describe {view.name})")]

    assert [(c.name, c.type) for c in view.columns] == [(n, SHORT.get(t, t)) for n, t in found]


def test_no_statement_of_the_report_has_what_another_has_three_times() -> None:
    files = sql_files.load_sql_files("report")
    found = Counter(body for file in files for body in re.findall(r"\w+ as \(\n(.*?)\n\)", file.sql, re.S))

    assert max(found.values()) < 3


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.name)
def test_what_a_view_reads_is_what_its_header_says(view: SqlFile, lake: Lake) -> None:
    tables = {*lake.sql("select view_name from duckdb_views() where schema_name = 'main' and not internal")}
    own = set(re.findall(r"^(?:with )?(\w+) as \($", view.sql, re.M))
    read = {word for word in re.findall(r"(?:from|join) (\w+)", view.sql) if word in tables} - own
    read |= {"prices"} if "price_at(" in view.sql else set()

    assert {*view.reads} == read


@pytest.mark.slow
def test_named_queries_over_every_packaged_contract_run(lake: Lake) -> None:
    refused = set()
    for query in list_sql_files(load_packaged_contracts(), "queries"):
        try:
            run_named_query(lake.con, query, {})
        except QueryError as error:
            refused.add(str(error).removeprefix(f"{query.name}: "))

    assert refused == {'there is no tag "owner"; there are none', 'there is no label "team"; there are none'}


def test_no_packaged_contract_has_a_column_that_is_the_key_of_its_feeds() -> None:
    contracts = load_packaged_contracts()

    assert [
        t.name for c in contracts for t in c.tables for column in t.columns if column.name == f"{c.item_name}_key"
    ] == []


def test_comments_of_the_catalog_are_the_headers(lake: Lake) -> None:
    for view in VIEWS:
        assert lake.sql("select comment from duckdb_views() where view_name = ?", [view.name]) == [view.doc]
        assert lake.sql(
            "select comment from duckdb_columns() where table_name = ? order by column_index", [view.name]
        ) == [column.doc for column in view.columns]


def test_no_contract_may_take_the_name_of_a_view() -> None:
    assert {view.name for view in VIEWS} <= RESERVED_TABLES


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("select 1", 'the header must begin with "-- odd: one row per ..."'),
        (
            "-- odd: One row.\n-- severty: warn\nselect 1",
            'odd.sql line 2: "-- severty: warn" is not a line of a header',
        ),
        ("-- odd: One row.\n-- severity: bad\nselect 1", 'severity "bad" is none of error, warn'),
        ("-- odd: One row.\n-- param n: int = 1 -- How many.\nselect 1", 'param n: "int" is none of integer, number'),
    ],
)
def test_a_header_that_is_wrong_is_named(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.sql"
    file.write_text(text)

    with pytest.raises(ContractError, match=re.escape(why)):
        sql_files.parse_sql_file(file)


def test_a_line_goes_on_where_it_is_indented(tmp_path: Path) -> None:
    file = tmp_path / "odd.sql"
    file.write_text(
        "-- odd: One row per\n--   thing.\n-- reads: a,\n--   b\n-- n bigint: A\n--   number.\nselect 1 as n"
    )
    found = sql_files.parse_sql_file(file)

    assert (found.doc, found.reads) == ("One row per thing.", ("a", "b"))
    assert [(c.name, c.type, c.doc) for c in found.columns] == [("n", "bigint", "A number.")]
