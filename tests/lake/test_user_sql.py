"""A user's SQL is tried in the same isolation as it is published, and a mart that fails spoils no other count."""

import logging
from pathlib import Path

import pytest

from appstream_export.contracts import load_all_contracts, load_contract_set
from appstream_export.lake.catalog import count_rows, find_user_sql_problems
from tests.lake.lakes import A, Lake, builder, ok

HEADER = "-- x: X.\n-- reads: image_builders\n-- n integer: N.\n"


def find_problems(folder: Path, text: str) -> str:
    (folder / "sql" / "marts").mkdir(parents=True)
    (folder / "sql" / "marts" / "x.sql").write_text(HEADER + text)
    contracts = load_contract_set(sql_folder=folder / "sql")
    return "\n".join(find_user_sql_problems(contracts, load_all_contracts(None)))


def test_users_sql_writes_no_file_while_it_is_tried(tmp_path: Path) -> None:
    written = tmp_path / "written.csv"
    problems = find_problems(tmp_path, f"select 1 as n; copy (select 1) to '{written}'")

    assert not written.exists()
    assert "sql/marts/x.sql: " in problems


def test_users_sql_that_reads_a_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("n\n1\n")

    assert "sql/marts/x.sql: Permission Error" in find_problems(tmp_path, f"select n from '{tmp_path}/rows.csv'")


def test_users_sql_reads_no_python_variable(tmp_path: Path) -> None:
    assert "does not exist" in find_problems(tmp_path, "select 1::integer as n from contracts")


def test_a_view_that_cannot_be_counted_leaves_the_other_counts(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    lake.commit(ok(A, builder("a"), builder("b")))

    with caplog.at_level(logging.WARNING):
        assert count_rows(lake.con, ["image_builders", "lost_mart", "accounts"]) == {"image_builders": 2, "accounts": 1}
    assert "the rows of lost_mart could not be counted" in caplog.text
