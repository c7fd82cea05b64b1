"""`query` as its users meet it: the list, an answer in each format, its SQL, and what it refuses."""

import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from appstream_export.cli.main import main
from appstream_export.cli.options import FORMATS
from appstream_export.contracts import load_packaged_contracts
from appstream_export.lake.catalog.named_queries import load_named_queries
from tests.lake.lakes import A, Lake, builder, ok

Demo = tuple[Path, subprocess.CompletedProcess[str]]
Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def asked(demo: Demo, told: Told) -> Told:
    """Run `query` on the demo's warehouse."""
    return lambda *words: told("query", *words, "--warehouse", str(demo[0] / "warehouse"))


def test_without_a_name_it_lists_what_can_be_asked(told: Told) -> None:
    code, text, err = told("query")
    _, program, _ = told("query", "--json")
    listed = json.loads(program)

    assert (code, err) == (0, "")
    assert max(map(len, text.splitlines())) <= 80
    assert [q.name for q in load_named_queries() if q.name not in text] == []
    assert [q["name"] for q in listed] == [q.name for q in load_named_queries()]
    hours = next(q for q in listed if q["name"] == "running_over")["parameters"][0]
    assert (hours["name"], hours["type"], hours["default"]) == ("hours", "integer", "2")


@pytest.mark.slow
def test_a_warehouse_can_be_asked_what_its_own_resources_allow(told: Told, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.contracts = [contract for contract in load_packaged_contracts() if contract.name in {"image_builders", "tags"}]
    lake.commit(ok(A, builder("a")))
    code, out, err = told("query", "untagged", "--format", "csv", "--warehouse", str(lake.store.root))

    assert (code, out.partition(",")[0], err) == (0, "account", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_an_answer_without_rows_keeps_its_columns(
    kind: str, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A))

    def list_columns(*words: str) -> list[str]:
        assert main([*words, "--format", kind, "--warehouse", str(lake.store.root)]) == 0
        out = capfdbinary.readouterr().out
        return pq.read_table(io.BytesIO(out)).schema.names if kind == "parquet" else re.findall(r"\w+", out.decode())

    is_named = kind not in ("json", "ndjson")
    named = list_columns("query", "running_over")
    assert "account" in named if is_named else named == []
    for query in ("select name, is_stale from image_builders", "select [1] as name, {'a': 1} as is_stale where false"):
        assert list_columns("sql", query)[:2] == (["name", "is_stale"] if is_named else [])


@pytest.mark.slow
def test_an_answer_is_the_same_in_each_format(asked: Told) -> None:
    _, as_json, _ = asked("what_we_have", "-p", "top=3", "--json")
    _, as_csv, _ = asked("what_we_have", "--param", "top=3", "--format", "csv")
    _, as_table, _ = asked("what_we_have", "-p", "top=3")
    rows = json.loads(as_json)

    assert [row["builders"] for row in rows] == sorted((row["builders"] for row in rows), reverse=True)
    assert [line.split(",")[0] for line in as_csv.splitlines()[1:]] == [row["account"] for row in rows]
    assert [line.split()[0] for line in as_table.splitlines()[2:5]] == [row["account"] for row in rows]


def test_money_has_two_places_and_is_a_number(asked: Told) -> None:
    _, text, _ = asked("running_over", "-p", "hours=24", "-p", "top=1", "--json")

    assert re.search(r'"usd":\d+\.\d\d,', text)


@pytest.mark.slow
def test_every_answer_can_be_read_in_80_columns_without_control_characters(asked: Told) -> None:
    for question in load_named_queries():
        code, text, err = asked(question.name)

        assert (code, err) == (0, "")
        assert max(map(len, text.splitlines())) <= 80, question.name
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


@pytest.mark.slow
def test_an_answer_as_of_then_is_the_answer_that_was_given_then(demo: Demo, told: Told, asked: Told) -> None:
    _, runs, _ = told("sql", "select committed_at from export_runs order by seq", "--json", "--warehouse",
                      str(demo[0] / "warehouse"))  # fmt: skip
    moments = [run["committed_at"] for run in json.loads(runs)]
    seen = [json.loads(asked("export_failures", "--json", "--as-of", moment)[1]) for moment in moments]
    hours = [
        json.loads(asked("running_over", "-p", "top=1", "-p", "hours=0", "--json", "--as-of", m)[1]) for m in moments
    ]

    assert [len(rows) for rows in seen] == [1, 2, 3, 4]
    assert [rows[0]["hours"] for rows in hours] == [0.0, 6.0, 12.0, 72.0]


def test_its_sql_is_a_start_for_ones_own(told: Told) -> None:
    code, text, _ = told("query", "running_over", "--sql")

    assert code == 0
    assert text.startswith("-- running_over: ")
    assert "from running_image_builders" in text


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("running_ovr",), 'there is no named query "running_ovr"; did you mean "running_over"?'),
        (("zzz",), 'there is no named query "zzz"; list them with: appstream-export query'),
        (("running_over", "-p", "hour=3"), 'running_over has no parameter "hour"; did you mean "hours"?'),
        (("running_over", "-p", "hours=x"), 'running_over: hours "x" is not a whole number from 0, such as 2'),
        (("running_over", "-p", "hours"), 'argument -p/--param: "hours" is not like hours=12; see '),
        (("running_over", "--format", "xml"), 'argument --format: there is no "xml"; choose from table, json'),
    ],
)
def test_a_mistake_is_one_line_and_comes_before_anything_is_opened(
    words: tuple[str, ...], why: str, told: Told
) -> None:
    code, text, err = told("query", *words, "--warehouse", "/nowhere")

    assert (code, text, err.count("\n")) == (2, "", 1)
    assert why in err


def test_marts_stand_in_the_dictionary_with_types(told: Told) -> None:
    _, text, _ = told("describe", "running_image_builders", "--json")
    _, tables, _ = told("tables", "--json")
    types = {column["column"]: column["type"] for column in json.loads(text)}

    assert types["cost_usd_at_least"] == "DECIMAL(18,4)"
    assert types["active_since"] == "TIMESTAMPTZ"
    assert {"image_builder_overview", "image_builder_daily", "prices"} <= {t["table"] for t in json.loads(tables)}


def test_a_description_prints_the_join_to_each_related_table(told: Told) -> None:
    _, text, _ = told("describe", "image_builders")
    _, tables, _ = told("tables", "--json")
    join = "select * from image_builders join image_builder_errors using (image_builder_key);"
    joins = {table["table"]: table["joins"] for table in json.loads(tables)}

    assert f"Joins to related tables:\n\n{join.replace('errors', 'subnets')}\n" in text
    assert join in text.splitlines()
    assert join in joins["image_builders"]
    assert joins["prices"] == []


def test_the_demo_answers_with_questions_and_the_commands_that_ask_them_again(demo: Demo) -> None:
    commands = re.findall(r"^appstream-export query (\w+)", demo[1].stdout, re.M)

    assert {"what_we_have", "running_over", "cost_per_account", "not_seen"} <= set(commands)
    assert (demo[0] / "prices.csv").read_text().startswith("region,instance_type,platform,usd_per_hour,")
    assert (demo[0] / "accounts.csv").read_text().startswith("account_id,team,cost_centre\n")
