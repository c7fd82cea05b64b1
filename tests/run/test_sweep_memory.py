"""A sweep holds what it needs: DuckDB, which takes 30 MB, is opened when its last task has ended."""

from pathlib import Path
from threading import Event

import duckdb
import pytest

from appstream_export.contracts import load_contracts
from appstream_export.model import Outcome, RunListener
from appstream_export.run import Request, execute_run
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

pytestmark = pytest.mark.usefixtures("without_checks")


class _Opened(RunListener):
    """Notes how many databases were opened when each task ended."""

    def __init__(self, opened: list[str]) -> None:
        self._opened = opened
        self.counts = list[int]()

    def on_outcome(self, outcome: Outcome) -> None:  # noqa: ARG002  the name is the protocol's
        """Note the number."""
        self.counts.append(len(self._opened))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["first", "next"])
def test_no_database_is_open_before_the_last_task_has_ended(
    kind: str, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.aws.put(f"{ACCOUNTS[0]}/eu-west-1", image_builder("a"))
    if kind == "next":
        export.run()
        assert Path(export.warehouse, "warehouse.duckdb").exists()
    opened, connect = list[str](), duckdb.connect
    monkeypatch.setattr(
        duckdb, "connect", lambda *args, **options: (opened.append("one"), connect(*args, **options))[1]
    )
    listener = _Opened(opened)

    execute_run(export.settings, load_contracts(), Request(publish=False), listener=listener, stop=Event())

    assert set(listener.counts) == {0}
    assert opened, "the commit opens one"
