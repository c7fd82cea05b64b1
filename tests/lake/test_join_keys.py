"""One column identifies an item in every table, view and mart of its resource, and joins any two of them."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from appstream_export.contracts import DUCKDB_TYPES, get_operational_table, list_joins, list_view_files
from appstream_export.lake.catalog import render_newest_select
from tests.contracts.contract_files import GOOD, loaded
from tests.lake.lakes import A, B, Lake, builder, ok

KEY = "image_builder_key"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two snapshots: a builder of one name in two scopes, one of which changes."""
    lake = Lake(tmp_path_factory.mktemp("joins") / "warehouse")
    for state in ("STOPPED", "RUNNING"):
        lake.commit(ok(A, builder("a", state=state, subnets=["s"], errors=["e"])), ok(B, builder("a", state="STOPPED")))
    return lake


def test_whatever_names_a_builder_has_its_key_too(lake: Lake) -> None:
    columns = dict[str, set[str]]()
    for table, column in lake.sql("select table_name, column_name from duckdb_columns() where schema_name = 'main'"):
        columns.setdefault(table, set()).add(column)
    named = {
        t for t, own in columns.items() if {"account_id", "region"} <= own and {"name", "image_builder_name"} & own
    }

    assert {t for t in named if KEY not in columns[t]} == set()
    assert {"image_builders", "image_builder_subnets_history", "image_builder_changes", "image_builder_daily"} <= named


def list_forms(lake: Lake) -> Iterator[str]:
    contract = lake.contracts[0]
    for table in (*contract.tables, contract.changes_table):
        yield from (table.name, f"{table.name}_history", f"{table.name}_as_of(now())")
    yield from (
        join.table for join in list_joins(lake.contracts, list_view_files(lake.contracts)) if KEY in join.columns
    )


def test_the_key_is_the_same_text_everywhere(lake: Lake) -> None:
    forms = list(list_forms(lake))
    found = lake.sql(" union ".join(f"(select distinct {KEY} from {form})" for form in forms) + " order by all")

    assert found == [f"{A}/a", f"{B}/a"]
    assert len(forms) > 20


def test_tables_and_marts_join_with_one_word(lake: Lake) -> None:
    assert lake.sql(
        f"select {KEY}, subnet_id, error_code, errors from image_builders"
        f" join image_builder_subnets using ({KEY}) join image_builder_errors using ({KEY})"
        f" join image_builder_overview using ({KEY}) join running_image_builders using ({KEY})"
    ) == [(f"{A}/a", "s", "e", 1)]
    assert lake.sql(
        f"select count(*) from image_builders_history join image_builder_subnets_history using (snapshot_id, {KEY})"
    ) == [2]


def test_files_do_not_hold_the_key(lake: Lake) -> None:
    assert (
        lake.sql(f"select table_name from duckdb_columns() where schema_name = 'files' and column_name = '{KEY}'") == []
    )


def test_a_key_of_several_names_is_unique_whatever_the_names_hold(tmp_path: Path) -> None:
    contract = loaded(tmp_path, GOOD.replace('key = ["name"]', 'key = ["name", "kind"]').replace(
        "name = {", 'kind = { from = "Kind", type = "string", doc = "Kind." }\nname = {'))  # fmt: skip
    table, con = contract.item_table, duckdb.connect()
    con.execute("create schema files")
    for name, own in (("files.things", table), *((n, get_operational_table(n)) for n in ("accounts", "scope_runs"))):
        con.execute(f"create table {name} ({', '.join(f'{c.name} {DUCKDB_TYPES[c.type]}' for c in own.columns)})")
    con.execute(
        "insert into files.things (account_id, region, name, kind) "
        "values ('1', 'r', 'a/b', 'c'), ('1', 'r', 'a', 'b/c')"
    )

    keys = con.execute(f"select thing_key from ({render_newest_select(table)})").fetchall()

    assert sorted(keys) == [("1/r/a%2Fb/c",), ("1/r/a/b%2Fc",)]
