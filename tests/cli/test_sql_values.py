"""Values that Arrow and Python cannot hold print as DuckDB prints them, in each format and through a pipe."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appstream_export.cli import output
from appstream_export.lake.catalog import QueryRows, build_row_loader, printable
from appstream_export.lake.catalog.query_rows import ROWS_MAX
from tests.lake.lakes import A, Lake, builder, ok

Told = Callable[..., tuple[int, str, str]]
Printed = Callable[[str, str], str]
PrintedBy = Callable[[duckdb.DuckDBPyConnection, str, str], str]

# An expression, and its value in json. What csv has is what DuckDB's own cast to VARCHAR gives.
AS_DUCKDB = {
    "interval 34 days": '"34 days"',
    "interval '-5 days'": '"-5 days"',
    "to_microseconds(4899217517)": '"01:21:39.217517"',
    "'nan'::double": '"nan"',
    "'-inf'::float": '"-inf"',
    "1e16::double": "1e16",
    "0.1::float": "0.1",
    "'\\xAB\\x00a'::blob": '"\\\\xAB\\\\x00a"',
    "'0101'::bit": '"0101"',
    "time '24:00:00'": '"24:00:00"',
    "'12:30:00+02'::timetz": '"12:30:00+02"',
    "date 'infinity'": '"infinity"',
    "date '0044-03-15 (BC)'": '"0044-03-15 (BC)"',
    "timestamp '-infinity'": '"-infinity"',
    "timestamp '40000-01-01 12:00:00'": '"40000-01-01 12:00:00"',
    "timestamp_ns '2026-01-31 12:00:00.123456789'": '"2026-01-31 12:00:00.123456789"',
    "(-170141183460469231731687303715884105727)::hugeint": "-170141183460469231731687303715884105727",
    "340282366920938463463374607431768211455::uhugeint": '"340282366920938463463374607431768211455"',
    "'0e000000-0000-0000-0000-000000000001'::uuid": '"0e000000-0000-0000-0000-000000000001"',
    "union_value(a := interval 1 day)": '"1 day"',
}
NESTED = {
    "[interval 1 day, null]": '["1 day",null]',
    "[0.1::float, 'nan', 'inf']": '[0.1,"nan","inf"]',
    "{'a': interval 1 hour, 'b': ['x'::blob]}": '{"a":"01:00:00","b":["x"]}',
    "map {[1, 2]: 0.5::float}": '{"[1, 2]":0.5}',
    "[timestamp 'infinity']": '["infinity"]',
    "array_value(date 'infinity')": '["infinity"]',
}


@pytest.fixture
def printed_by(capfdbinary: pytest.CaptureFixture[bytes]) -> PrintedBy:
    """Print the rows of a statement on a connection."""

    def write(con: duckdb.DuckDBPyConnection, sql: str, kind: str) -> str:
        output.write_query_result(build_row_loader(con, sql), kind)
        return capfdbinary.readouterr().out.decode()

    return write


@pytest.fixture
def printed(printed_by: PrintedBy) -> Printed:
    """Print the rows of a statement."""

    def write(sql: str, kind: str) -> str:
        with duckdb.connect() as con:
            con.execute("set TimeZone = 'UTC'")
            return printed_by(con, sql, kind)

    return write


@pytest.mark.parametrize("value", AS_DUCKDB)
def test_a_value_is_what_duckdb_writes(value: str, printed: Printed) -> None:
    [(text,)] = duckdb.sql(f"select cast({value} as varchar)").fetchall()

    assert printed(f"select {value} as v, 1 as n", "csv") == f"v,n\r\n{text},1\r\n"
    assert printed(f"select {value} as v", "ndjson") == f'{{"v":{AS_DUCKDB[value]}}}\n'
    assert printed(f"select {value} as v", "table").splitlines()[2].strip() == text


@pytest.mark.parametrize("value", NESTED)
def test_a_nested_value_is_json_of_such_values(value: str, printed: Printed) -> None:
    assert json.loads(printed(f"select {value} as v", "json")) == [{"v": json.loads(NESTED[value])}]
    assert next(csv.reader(io.StringIO(printed(f"select {value} as v", "csv").partition("\r\n")[2]))) == [NESTED[value]]


OTHERS = (
    *("1", "1::utinyint", "-9223372036854775808", "18446744073709551615::ubigint", "sum(1)", "10::hugeint ^ 20"),
    *("1.50", "0::decimal(18, 7)", "-0.0::double", "1e300::double", "true", "null", "[]", "''", "'=1'", "'a,\"b\"'"),
    *("timestamp '2026-01-31 12:00:00.123456'", "timestamptz '2026-01-31 12:00:00+02'", "null::timestamp"),
    *("date '2026-01-31'", "timestamp '9999-12-31 23:59:59.999999'", "timestamp '0001-01-01'"),
    *("timestamptz 'infinity'", "time '12:00'"),
    *("'b'::enum('a', 'b')", "'{\"a\": [1]}'::json", "'\u6771\u4eac'", "(select sum(n) from range(3) t(n))"),
)  # fmt: skip


# Nested values, and times that Python lacks, or cannot tell from those without end.
READ_WITH_ARROW = {
    *("[]", "timestamptz 'infinity'", "timestamp '-infinity'", "timestamp '40000-01-01 12:00:00'"),
    *("timestamp '0001-01-01'", "timestamp '9999-12-31 23:59:59.999999'"),
}


@pytest.mark.parametrize("value", [*AS_DUCKDB, *OTHERS])
def test_a_small_result_prints_as_a_large_one_which_arrow_reads(
    value: str, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = f"select {value} as v, 1 as n union all by name (select null as v, 2 as n) order by n"
    with duckdb.connect() as con:
        rows = build_row_loader(con, sql)("text")
    assert isinstance(rows, QueryRows) == (value not in READ_WITH_ARROW)
    small = {kind: printed(sql, kind) for kind in output.WRITERS}
    monkeypatch.setattr(printable, "ROWS_MAX", -1)

    assert small == {kind: printed(sql, kind) for kind in output.WRITERS}


@pytest.mark.parametrize("more", [0, 1])
def test_a_result_is_whole_on_both_sides_of_the_limit_of_small_ones(more: int, printed: Printed) -> None:
    sql = f"select n, n % 7 as r from range({ROWS_MAX + more}) t(n) order by r desc, n"
    rows = sorted(((n % 7, n) for n in range(ROWS_MAX + more)), key=lambda row: (-row[0], row[1]))

    assert printed(sql, "csv") == "n,r\r\n" + "".join(f"{n},{r}\r\n" for r, n in rows)


FAR = "timestamp '40000-01-01'"


@pytest.mark.skipif(not hasattr(duckdb.DuckDBPyRelation, "materialize"), reason="only DuckDB 2 can hold rows")
@pytest.mark.parametrize("rows", [3, ROWS_MAX + 1])
@pytest.mark.parametrize("value", ["n", FAR, "[n]", f"[{FAR}]"])
def test_a_statement_runs_once_however_its_result_is_read(rows: int, value: str, printed_by: PrintedBy) -> None:
    batches = pa.table({"n": pa.array(range(rows), pa.int64())}).to_batches()
    with duckdb.connect() as con:
        # DuckDB refuses to read a stream a second time.
        con.register("stream", pa.RecordBatchReader.from_batches(batches[0].schema, batches))
        text = printed_by(con, f"select n, {value} as v from stream", "csv")

    assert len(text.splitlines()) == 1 + rows


def test_csv_distinguishes_null_from_not_a_number(printed: Printed) -> None:
    assert printed("select * from (values ('nan'::double), (null), (1.5)) t(v)", "csv") == "v\r\nnan\r\n\r\n1.5\r\n"


def test_text_of_a_blob_is_guarded_as_a_formula_and_a_negative_interval_is_not(printed: Printed) -> None:
    assert printed("select '=1'::blob b, interval '-1 day' i, '-1 day' t", "csv") == "b,i,t\r\n'=1,-1 day,'-1 day\r\n"


def test_numbers_that_are_text_are_aligned_as_numbers(printed: Printed) -> None:
    assert printed("select 7::uhugeint as a_number", "table").splitlines()[2] == "       7"


def test_parquet_keeps_types_and_has_text_where_it_has_none(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with duckdb.connect() as con:
        sql = "select date '2026-01-31' d, 0.1::float f, 'x'::blob b, interval 1 day i, date 'infinity' e"
        output.write_query_result(build_row_loader(con, sql), "parquet")
    table = pq.read_table(io.BytesIO(capfdbinary.readouterr().out))

    assert [str(kind) for kind in table.schema.types] == ["date32[day]", "float", "binary", "string", "date32[day]"]
    assert table.column("i").to_pylist() == ["1 day"]


def test_explain_is_drawn_in_its_lines(printed: Printed) -> None:
    lines = printed("explain select 42 as answer", "table").splitlines()

    assert len(lines) > 3
    assert any("answer" in line for line in lines)
    assert "explain_key" not in lines[0]


def test_through_a_pipe_a_row_is_a_line_however_long(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = "select repeat('x', 150) as a, repeat('y', 150) as b"
    assert printed(wide, "table").startswith("-- 1 --")
    monkeypatch.delenv("COLUMNS")

    assert printed(wide, "table").splitlines()[2] == "x" * 150 + "  " + "y" * 150


def test_the_command_prints_such_values(told: Told, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))
    sql = "select name, interval 1 day as i, timestamp 'infinity' as t from image_builders"
    ran = told("sql", sql, "--format", "csv", "--warehouse", str(lake.store.root))

    assert ran == (0, "name,i,t\r\na,1 day,infinity\r\n", "")
