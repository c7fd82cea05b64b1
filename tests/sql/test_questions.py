"""Named questions: their answers on the demo are goldens, whatever the time zone; what they are told is checked."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from appstream_export import demo as demo_module
from appstream_export.cli import output
from appstream_export.cli.arrow_output import convert_to_rows
from appstream_export.contracts import Contract, list_view_files, load_contract_set, load_contracts
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.demo import play_demo
from appstream_export.errors import QueryError
from appstream_export.lake.catalog import checks
from appstream_export.lake.catalog.connect import connect_warehouse, publish_catalog
from appstream_export.lake.catalog.named_queries import (
    get_named_query,
    load_named_queries,
    parse_parameters,
    run_named_query,
)
from appstream_export.lake.storage import open_store
from appstream_export.run import Request, RunResult, execute_run, stages
from appstream_export.settings import Settings
from tests.lake.lakes import A, Lake, builder, ok

GOLDENS = Path(__file__).parent / "goldens"
FRIDAY = datetime(2026, 1, 9, 8, tzinfo=UTC)
# Of three days not much is old: there, these ask for less than their defaults do.
TOLD: Mapping[str, Mapping[str, str]] = {
    "long_unused": {"days": "2", "top": "10"},
    "running_over": {"hours": "24"},
    "who_uses": {"id": "subnet-0"},
    "builder_life": {"name": "support-"},
}
TITLES = "query", "name"


def commit_alone(settings: Settings, contracts: Sequence[Contract], _: Request, **rest: Any) -> RunResult:
    """A run without what follows its commit: no question is about feeds, checks, nor about what a run prints."""
    return execute_run(settings, contracts, Request(publish=False, stages=()), **rest)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of a demo that opened on a Friday morning, and ended on Monday."""
    folder = tmp_path_factory.mktemp("questions") / "d"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_module, "execute_run", commit_alone)
        # Costs per day depend on when a run committed, which is not to depend on this machine's speed.
        patch.setattr(stages, "_build_clock", lambda moment: lambda: moment + timedelta(seconds=1))
        assert len(list(play_demo(folder, Event(), FRIDAY, resources=["image_builders"]))) == 4
    publish_catalog(open_store(str(folder / "warehouse")), load_contract_set())
    return folder / "warehouse"


@pytest.fixture(params=["UTC", pytest.param("America/New_York", marks=pytest.mark.slow), "Pacific/Auckland"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's time zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


def as_text(table: pa.Table) -> str:
    """Rows as JSON, a line each: what a golden holds."""
    lines = [output.encode_json(row).decode() for row in convert_to_rows(table)]
    return "\n".join([", ".join(f"{f.name} {f.type}" for f in table.schema), *lines]) + "\n"


def stable(asked: SqlFile, answer: pa.Table) -> pa.Table:
    """Moments as of UTC, whose type else names the reader's zone; without the one that is of this machine's speed."""
    moments = [
        f.with_type(pa.timestamp("us", "UTC")) if pa.types.is_timestamp(f.type) and f.type.tz else f
        for f in answer.schema
    ]
    answer = answer.cast(pa.schema(moments))
    return answer.drop_columns(["committed_at"]) if asked.name == "export_failures" else answer


@pytest.mark.slow
def test_answers_on_the_demo_are_the_goldens_under_each_time_zone(demo: Path, zone: str) -> None:
    update = os.environ.get("UPDATE_GOLDENS") == "1" and zone == "UTC"
    catalog = duckdb.connect(str(demo / "warehouse.duckdb"), read_only=True)
    catalog.execute(f"set TimeZone = '{zone}'")
    with closing(connect_warehouse(str(demo))) as con:
        for asked in load_named_queries():
            given = TOLD.get(asked.name, {})
            text = as_text(stable(asked, run_named_query(con, asked, given)))
            golden = GOLDENS / f"{asked.name}.txt"
            if update:
                GOLDENS.mkdir(exist_ok=True)
                golden.write_text(text, "utf-8")

            assert golden.read_text("utf-8") == text, asked.name
            readers_own = catalog.sql(asked.sql, params=parse_parameters(asked, given)).to_arrow_table()
            assert as_text(stable(asked, readers_own)) == text, asked.name


@pytest.mark.slow
def test_every_question_has_an_answer_on_the_demo(demo: Path) -> None:
    with closing(connect_warehouse(str(demo))) as con:
        empty = [q.name for q in load_named_queries() if not run_named_query(con, q, TOLD.get(q.name, {})).num_rows]

    assert empty == []
    assert len(load_named_queries()) >= 18


@pytest.mark.slow
def test_no_answer_has_a_type_that_other_tools_refuse(demo: Path) -> None:
    with closing(connect_warehouse(str(demo))) as con:
        types = {str(f.type) for q in load_named_queries() for f in run_named_query(con, q, {}).schema}
        marts = {
            str(f.type)
            for v in list_view_files(load_contracts())
            for f in con.sql(f"from {v.name} limit 0").to_arrow_table().schema
        }

    small = {"string", "bool", "int64", "double", "date32[day]", "timestamp[us, tz=UTC]"}
    assert types <= {*small, "decimal128(18, 2)"}
    assert marts <= {*small, "decimal128(18, 4)", "decimal128(18, 6)"}


@pytest.mark.parametrize("asked", load_named_queries(), ids=lambda q: q.name)
def test_a_question_says_all_of_itself_and_names_its_parameters(asked: SqlFile) -> None:
    assert asked.question is not None
    assert asked.question.endswith("?")
    assert asked.reads
    assert [p.name for p in asked.params if f"${p.name}" not in asked.sql] == []
    assert parse_parameters(asked, {}).keys() == {p.name for p in asked.params}


@pytest.mark.parametrize(
    ("name", "given", "why"),
    [
        ("running_ovr", {}, 'there is no named query "running_ovr"; did you mean "running_over"?'),
        ("running_over", {"hour": "3"}, 'running_over has no parameter "hour"; did you mean "hours"?'),
        ("odd_values", {"zzz": "3"}, 'odd_values has no parameter "zzz"; it has none'),
        ("running_over", {"hours": "abc"}, 'running_over: hours "abc" is not a whole number from 0, such as 2'),
        ("running_over", {"hours": "-1"}, 'running_over: hours "-1" is not a whole number from 0, such as 2'),
        ("running_over", {"hours": "1; drop"}, 'running_over: hours "1; drop" is not a whole number from 0, such as 2'),
        ("running_over", {"top": str(2**40)}, f'running_over: top "{2**40}" is not a whole number from 0, such as 50'),
        ("ipv6", {"top": ""}, 'ipv6: top "" is not a whole number from 0, such as 50'),
        ("not_seen", {"expected": "maybe"}, 'not_seen: expected "maybe" is not true or false, such as true'),
    ],
)
def test_what_a_question_cannot_be_told_is_one_line(name: str, given: dict[str, str], why: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse_parameters(get_named_query(name), given)

    assert str(raised.value) == why


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A warehouse of one builder."""
    made = Lake(tmp_path_factory.mktemp("bound") / "warehouse")
    made.commit(ok(A, builder("a", subnets=["s"])))
    return made


@pytest.mark.parametrize("text", ["'; select 1; --", "%", "$.a", "\x00", "a" * 10_000])
def test_text_is_bound_and_never_read_as_sql(text: str, lake: Lake) -> None:
    assert run_named_query(lake.con, get_named_query("who_uses"), {"id": text}).num_rows == 0
    with pytest.raises(QueryError, match=r"^cost_per_label: there is no label "):
        run_named_query(lake.con, get_named_query("cost_per_label"), {"label": text})


Told = Callable[..., tuple[int, str, str]]


def test_checks_find_on_the_demo_what_its_story_put_there(demo: Path) -> None:
    with closing(connect_warehouse(str(demo))) as con:
        found = {check.name: (check.severity, check.rows) for check in checks.run_checks(con)}

    assert {name: rows for name, (severity, rows) in found.items() if severity == "error"} == dict.fromkeys(
        ("ambiguous_keys", "duplicate_keys", "mart_keys", "negative_spans", "orphan_children", "unknown_scopes"), 0
    )
    assert {name for name, (_, rows) in found.items() if rows} == {"stale_scopes", "unknown_fields", "unknown_prices"}


def test_the_list_of_questions_is_complete_for_programs() -> None:
    from appstream_export.cli.views.dictionary import list_named_queries

    listed = list_named_queries(load_named_queries(), is_brief=False)
    rows = [dict(zip(listed.names, row, strict=True)) for row in listed.rows]

    assert json.loads(output.encode_json(rows[0]))["parameters"][0].keys() == {"name", "type", "default", "doc"}
    assert [row["name"] for row in rows] == sorted(q.name for q in load_named_queries())
