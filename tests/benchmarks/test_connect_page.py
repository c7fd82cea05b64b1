"""docs/connect.md calls a tool tested only if `just prove connect` runs its snippet, over feeds/v2."""

import re

import pytest

from benchmarks.proofs.connect import PAGE, SAMPLE, TOOLS, WITHOUT_SNIPPET, read_snippet

SNIPPETS = [tool for tool in TOOLS if tool not in WITHOUT_SNIPPET and " " not in tool]
LOCKED = {"DuckDB", "duckdb-cli", "Node", "SQLAlchemy", "ibis"}
ELSEWHERE = {"Superset", "Streamlit"}
"""Tested by `just prove dashboards` and tests/feeds/test_streamlit.py."""


def test_every_tool_that_the_table_calls_tested_has_a_snippet_that_is_run() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    tools = {name[1]: row[-1] for row in rows if len(row) == 5 and (name := re.match(r"\[([\w-]+)\]\(#", row[0]))}
    untested = {row[0] for row in rows if len(row) == 5 and row[-1] == "no"}

    assert {tool for tool, is_tested in tools.items() if "yes" in is_tested} == {*SNIPPETS, *ELSEWHERE}
    assert {"Power BI", "Tableau", "Metabase", "Grafana"} <= untested
    assert set(tools) & untested == set()


@pytest.mark.parametrize("tool", SNIPPETS)
def test_a_snippet_reads_v2_of_the_sample_warehouse(tool: str) -> None:
    language, text = read_snippet(tool)

    assert f"{SAMPLE}/feeds/v2" in text
    assert "feeds/v1" not in text
    if language == "python":
        compile(text, tool, "exec")
    if tool in LOCKED:
        assert {"enable_external_access", "lock_configuration"} <= set(re.findall(r"\w+", text))
        assert re.search(r"read_?only", text, re.I)
    else:
        assert "current.json" in text
