"""`query --chart` and `--html`: rows as bars on a terminal, and as a page; what does not go together."""

import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from appstream_export.cli.chart import BARS_MAX, print_chart
from appstream_export.contracts import ChartColumns
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.errors import QueryError
from appstream_export.lake.catalog import choose_chart_columns, load_named_queries

Demo = tuple[Path, subprocess.CompletedProcess[str]]
Told = Callable[..., tuple[int, str, str]]


def draw(capsys: pytest.CaptureFixture[str], rows: Sequence[dict], *labels: str) -> list[tuple[str, int, str]]:
    """What is before the bar of each line, how many whole blocks it has, and what follows."""
    print_chart(pa.Table.from_pylist(list(rows)), ChartColumns("n", labels))
    lines = capsys.readouterr().out.splitlines()[1:]
    parts = [re.split(r" *([█▉▊▋▌▍▎▏▐▕]+) *", line, maxsplit=1) for line in lines]
    return [(p[0].strip(), p[1].count("█") if len(p) > 1 else 0, p[-1].strip() if len(p) > 1 else "") for p in parts]


def test_bars_are_as_long_as_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": "a", "n": 40.0},
        {"name": "b", "n": 10.0},
        {"name": None, "n": 0.0},
        {"name": "\x1b[31mc", "n": None},
    ]
    (a, longest, n), (_, shorter, _), nothing, unknown = draw(capsys, rows, "name")

    assert (a, n) == ("a", "40.0")
    assert longest == pytest.approx(4 * shorter, abs=4)
    assert longest > 60
    assert [re.sub(" +", " ", line[0]) for line in (nothing, unknown)] == ["- 0.0", "c -"]


@pytest.mark.parametrize(
    ("days", "lines"),
    [
        (["2026-01-03", "2026-01-01"], ["2026-01-01", "2026-01-02", "2026-01-03"]),
        (["2026-01-05", "2026-01-12", "2026-01-26"], ["2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"]),
        (["2025-11-01", "2026-02-01"], ["2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01"]),
        (["2026-01-02", "2026-03-15"], ["2026-01-02", "(71 days)", "2026-03-15"]),
    ],
)
def test_periods_without_a_row_have_a_line_too(
    days: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = draw(capsys, [{"day": date.fromisoformat(day), "n": 1} for day in days], "day")

    assert [line[0] for line in drawn] == lines
    assert [line[1] > 0 for line in drawn] == [line in days for line in lines]


def test_rows_of_one_time_name_it_once_and_moments_have_no_period(capsys: pytest.CaptureFixture[str]) -> None:
    when = datetime(2026, 1, 2, 12, tzinfo=UTC)
    rows = [{"at": when, "who": "a", "n": 1}, {"at": when, "who": "b", "n": 1}, {"at": None, "who": "c", "n": 1}]

    assert [line[0] for line in draw(capsys, rows, "at", "who")] == ["2026-01-02T12:00:00Z a", "b"]


def test_bars_below_zero_begin_where_the_others_end(capsys: pytest.CaptureFixture[str]) -> None:
    print_chart(pa.table({"name": ["up", "down"], "n": [10, -10]}), ChartColumns("n", ("name",)))
    up, down = capsys.readouterr().out.splitlines()[1:]

    assert up.index("█") == pytest.approx(down.rindex("█") + 1, abs=1)


@pytest.mark.parametrize("width", [30, 40, 60, 200])
def test_a_narrow_terminal_shortens_labels_and_neither_bars_nor_numbers(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [{"name": "engineering-office-image-03", "account": "engineering-gis", "n": n} for n in (876.25, 438.125)]
    (_, longest, most), (_, shorter, least) = draw(capsys, rows, "name", "account")

    assert (most, least) == ("876.25", "438.125")
    assert longest >= 6
    assert longest == pytest.approx(2 * shorter, abs=2)


def test_what_is_not_drawn_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_chart(pa.table({"name": ["x"] * (BARS_MAX + 3), "n": [1] * (BARS_MAX + 3)}), ChartColumns("n", ("name",)))
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) == BARS_MAX + 2
    assert lines[-1] == "3 lines left out; without --chart, all rows are printed"
    print_chart(pa.table({"name": pa.array([], "string"), "n": pa.array([], "int64")}), ChartColumns("n", ("name",)))
    assert capsys.readouterr().out == "no rows to draw\n"


def test_times_without_a_number_are_no_rows_to_draw(capsys: pytest.CaptureFixture[str]) -> None:
    days = [date(2026, 1, 1), date(2026, 1, 2)]
    print_chart(pa.table({"day": days, "n": pa.array([None, None], "int64")}), ChartColumns("n", ("day",)))

    assert capsys.readouterr().out == "no rows to draw\n"


def test_without_a_header_the_first_money_is_drawn_by_what_is_before_it() -> None:
    table = pa.table({"a": ["x"], "n": [1], "b": ["y"], "usd": pa.array([1], pa.decimal128(18, 2)), "c": ["z"]})
    query = SqlFile("q", "Q", (), "", place="sql/q.sql")

    assert choose_chart_columns(query, table) == ChartColumns("usd", ("a", "b"))
    assert choose_chart_columns(query, table.drop_columns("usd")) == ChartColumns("n", ("a",))
    assert choose_chart_columns(query, pa.table({"n": [1], "c": ["z"]})) == ChartColumns("n", ("c",))
    with pytest.raises(QueryError, match="q has no numbers to draw"):
        choose_chart_columns(query, pa.table({"a": ["x"]}))
    wrong = SqlFile("q", "Q", (), "", place="sql/q.sql", chart=ChartColumns("zzz", ("a",)))
    with pytest.raises(QueryError, match=r"sql/q.sql: chart: there is no column zzz; its columns are a, n, b, usd, c"):
        choose_chart_columns(wrong, table)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--chart",), "--chart needs the name of a query; list them with: appstream-export query"),
        (("--html", "x.html"), "--html needs the name of a query; list them with: appstream-export query"),
        (
            ("savings", "--chart", "--html", "x.html"),
            "--chart and --html do not go together; run the query once for each",
        ),
        (("savings", "--chart", "--json"), "--chart and --json do not go together; run the query once for each"),
        (("savings", "--html", "x.html", "-o", "x.csv"), "--html and --output do not go together; run the query once"),
        (("savings", "--chart", "--format", "csv"), "--chart and --format do not go together; run the query once for"),
        (("savings", "--chart", "--sql"), "--chart and --sql do not go together; run the query once for each"),
    ],
)
def test_one_shape_at_a_time(words: tuple[str, ...], why: str, told: Told) -> None:
    code, text, err = told("query", *words, "--warehouse", "/nowhere")

    assert (code, text, err.count("\n")) == (2, "", 1)
    assert why in err


@pytest.mark.slow
def test_every_question_of_the_demo_with_numbers_can_be_drawn(demo: Demo, told: Told) -> None:
    warehouse = str(demo[0] / "warehouse")
    without = {"agent_access", "imdsv1", "internet_access", "ipv6", "no_role_or_domain", "who_uses"}
    for question in load_named_queries():
        code, text, err = told("query", question.name, "--chart", "--warehouse", warehouse)
        no_numbers = code == 2 and "has no numbers to draw" in err

        assert code == 0 or (no_numbers and question.name in without), (question.name, err)
        assert max(map(len, text.splitlines()), default=0) <= 80, question.name


def test_an_unknown_label_is_one_line_with_those_there_are(demo: Demo, told: Told) -> None:
    words = ("query", "cost_per_label", "-p", "label=taem", "--warehouse", str(demo[0] / "warehouse"))
    line = 'cost_per_label: there is no label "taem"; did you mean "team"? there are: cost_centre, team\n'

    assert told(*words) == (2, "", f"appstream-export: {line}")
