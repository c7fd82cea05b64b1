"""Progress counts the calls that follow from rows of another resource, because a scope may need thousands."""

from dataclasses import replace

import pytest

from appstream_export.cli.log import configure_log
from appstream_export.cli.progress import show_run_progress
from tests.factories import outcome, page, task


@pytest.mark.parametrize(("rows", "line"), [(0, "1/1 scopes, 1 items"), (1, "1/1 scopes, 1 items, 1 follow-up call")])
def test_follow_up_calls_are_counted(capsys: pytest.CaptureFixture[str], rows: int, line: str) -> None:
    configure_log(())
    with show_run_progress() as listener:
        listener.on_plan(1)
        listener.on_page(replace(page({"Name": "a"}), parent_row={"name": "x"} if rows else {}))
        listener.on_outcome(outcome(task()))

    assert capsys.readouterr().err.splitlines()[-1].partition(" INFO ")[2] == line
