"""What each format makes of awkward values: a table of cases, and the shapes around them."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appstream_export.cli import output
from appstream_export.cli.options import FORMATS
from appstream_export.cli.result_rows import ListedRows
from appstream_export.lake.catalog import QueryRows

HOSTILE = "a\x1b[31mred\x1b[0m\x1b]0;title\x07 b\u202ec\nd|<b>`x`"
AT = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)

NESTED = pa.list_(pa.struct([("a", pa.int64()), ("t", pa.timestamp("us"))]))

# One value, its Arrow type, and how it stands in json, csv, md and table.
CASES: list[tuple[str, Any, pa.DataType, str, str, str, str]] = [
    ("null", None, pa.string(), "null", "", "", "-"),
    ("text", "plain", pa.string(), '"plain"', "plain", "plain", "plain"),
    ("empty text", "", pa.string(), '""', '""', "", ""),
    ("quotes and commas", 'a,"b"', pa.string(), r'"a,\"b\""', '"a,""b"""', 'a,"b"', 'a,"b"'),
    ("formula", "=1+1", pa.string(), '"=1+1"', "'=1+1", "=1+1", "=1+1"),
    ("formula of wide signs", "＝1", pa.string(), '"＝1"', "'＝1", "＝1", "＝1"),  # noqa: RUF001
    ("formula behind a line", "\n=1", pa.string(), r'"\n=1"', '"\'\n\'=1"', " =1", "=1"),
    ("formula behind a semicolon", "a;=1", pa.string(), '"a;=1"', "a;'=1", "a;=1", "a;=1"),
    ("formula in a list", ["a;=1"], pa.list_(pa.string()), '["a;=1"]', '"[""a;\'=1""]"', r'\["a;=1"\]', '["a;=1"]'),
    ("negative number", -5, pa.int64(), "-5", "-5", "-5", "-5"),
    ("large integer", 2**63 - 1, pa.int64(), str(2**63 - 1), str(2**63 - 1), str(2**63 - 1), str(2**63 - 1)),
    ("hugeint", Decimal(10**37), pa.decimal128(38, 0), str(10**37), str(10**37), str(10**37), str(10**37)),
    ("decimal", Decimal("1.50"), pa.decimal128(18, 2), "1.50", "1.50", "1.50", "1.50"),
    ("small decimal", Decimal("0.0000001"), pa.decimal128(18, 7), "1E-7", "0.0000001", "0.0000001", "0.0000001"),
    ("not a number", float("nan"), pa.float64(), '"nan"', "nan", "nan", "nan"),
    ("no end", [float("-inf")], pa.list_(pa.float64()), '["-inf"]', '"[""-inf""]"', r'\["-inf"\]', '["-inf"]'),
    ("boolean", True, pa.bool_(), "true", "true", "true", "true"),
    ("time", AT, pa.timestamp("us", "UTC"), f'"{AT:%Y-%m-%dT%H:%M:%S.%fZ}"', *[f"{AT:%Y-%m-%dT%H:%M:%S.%fZ}"] * 3),
    ("time without zone", 0, pa.timestamp("us"), '"1970-01-01T00:00:00Z"', *["1970-01-01T00:00:00Z"] * 3),
    ("nested", [{"a": 1, "t": AT.replace(microsecond=0)}], NESTED,
     '[{"a":1,"t":"2026-01-31T12:00:00Z"}]', '"[{""a"":1,""t"":""2026-01-31T12:00:00Z""}]"',
     r'\[{"a":1,"t":"2026-01-31T12:00:00Z"}\]', '[{"a":1,"t":"2026-01-31T12:00:00Z"}]'),
    ("hostile text", HOSTILE, pa.string(), json.dumps(HOSTILE, ensure_ascii=False),
     f'"{HOSTILE}"', r"ared bc d\|&lt;b&gt;\`x\`", "ared bc d|<b>`x`"),
]  # fmt: skip
Printed = Callable[[pa.Table, str], str]


@pytest.fixture
def printed(capfdbinary: pytest.CaptureFixture[bytes]) -> Printed:
    def write(table: pa.Table, kind: str) -> str:
        output.write_result(table, kind)
        return capfdbinary.readouterr().out.decode()

    return write


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_a_value_in_each_format(case: tuple[Any, ...], printed: Printed) -> None:
    _, value, kind, as_json, as_csv, as_md, as_table = case
    table = pa.table({"v": pa.array([value], kind), "end": ["."]})

    assert json.loads(printed(table, "json")) == [json.loads(f'{{"v":{as_json},"end":"."}}')]
    assert printed(table, "ndjson") == f'{{"v":{as_json},"end":"."}}\n'
    assert printed(table, "csv") == f"v,end\r\n{as_csv},.\r\n"
    assert printed(table, "md").splitlines()[2] == f"| {as_md} | . |"
    assert printed(table, "table").splitlines()[2].removesuffix("  .").strip() == as_table


def test_csv_reads_back_as_it_was(printed: Printed) -> None:
    values = ["a\nb", 'say "hi"', "x,y", " spaces "]

    assert list(csv.reader(io.StringIO(printed(pa.table({"v": values}), "csv"), newline=""))) == [
        ["v"],
        *([v] for v in values),
    ]


def test_parquet_reads_back_as_it_was(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    table = pa.table({"v": [HOSTILE, "=1"], "t": pa.array([AT, None], pa.timestamp("us", "UTC"))})
    output.write_result(table, "parquet")

    assert pq.read_table(io.BytesIO(capfdbinary.readouterr().out)).equals(table)


def test_a_column_name_that_repeats_loses_no_value(printed: Printed) -> None:
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["n", "n", "n_1"])

    assert json.loads(printed(table, "json")) == [{"n": 1, "n_1": 2, "n_1_1": 3}]


@pytest.mark.parametrize(
    "empty",
    [
        pa.table({"name": pa.array([], pa.string()), "n": pa.array([], pa.int64())}),
        QueryRows(["name", "n"], ["VARCHAR", "BIGINT"], []),
        ListedRows(["name", "n"], []),
    ],
    ids=["Arrow", "query", "list"],
)
def test_no_rows_keep_their_columns_in_each_format(empty: Any, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    def write(kind: str) -> bytes:
        output.write_result(empty, kind)
        return capfdbinary.readouterr().out

    assert {kind: write(kind).decode() for kind in FORMATS if kind != "parquet"} == {
        "table": "name  n\n----  -\n(0 rows)\n",
        "json": "[]\n",
        "ndjson": "",
        "csv": "name,n\r\n",
        "md": "| name | n |\n| --- | --- |\n",
    }
    assert pq.read_table(io.BytesIO(write("parquet"))).schema.names == ["name", "n"]


def test_prose_wraps_and_what_does_not_fit_stands_in_blocks(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    prose = pa.table({"table": ["image_builders"], "n": [7], "doc": ["one row per image builder " * 6]})
    wide = pa.table({f"column_{n}": ["x" * 20] for n in range(5)})

    assert printed(prose, "table").splitlines()[2].startswith("image_builders  7  one row per image builder")
    assert printed(wide, "table").splitlines()[:3] == [
        "-- 1 ---------------",
        f"column_0  {'x' * 20}",
        f"column_1  {'x' * 20}",
    ]
    assert max(map(len, (printed(prose, "table") + printed(wide, "table")).splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "120")
    assert printed(wide, "table").splitlines()[0].startswith("column_0              column_1")


def test_wide_characters_are_aligned_by_the_columns_they_take(printed: Printed) -> None:
    lines = printed(pa.table({"name": ["東京", "Oslo!"], "n": [1, 2]}), "table").splitlines()

    assert lines[2:4] == ["東京   1", "Oslo!  2"]


def test_many_rows_come_whole(printed: Printed) -> None:
    table = pa.table({"n": range(12_345)})

    assert [row["n"] for row in json.loads(printed(table, "json"))] == list(range(12_345))
    assert printed(table, "csv").count("\r\n") == 12_346


def test_parquet_has_texts_where_a_list_has_no_value_at_any_depth(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    row = {"a": None, "b": [], "c": [{"d": "x", "e": None, "f": {"g": [None]}}], "n": [[1]]}
    output.write_result(ListedRows([*row], [[*row.values()]]), "parquet")
    table = pq.read_table(io.BytesIO(capfdbinary.readouterr().out))

    nested = pa.struct([("d", pa.string()), ("e", pa.string()), ("f", pa.struct([("g", pa.list_(pa.string()))]))])
    assert table.schema.field("a").type == pa.string()
    assert table.schema.field("b").type == pa.list_(pa.string())
    assert table.schema.field("c").type == pa.list_(nested)
    assert table.to_pylist() == [row]
