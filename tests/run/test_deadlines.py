"""A run ends when it must: at its deadline with what it has, at a signal with nothing."""

import threading
import time

import pytest

from appstream_export.emulator import Fault
from appstream_export.errors import Interrupted
from appstream_export.run import execute_run
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

SICK, WELL = f"{ACCOUNTS[0]}/eu-west-1", f"{ACCOUNTS[1]}/us-east-1"


@pytest.mark.slow
def test_a_run_at_its_deadline_commits_what_it_has(export: Export) -> None:
    for scope in (SICK, WELL):
        export.aws.put(scope, image_builder("old"))
    export.run()
    export.aws.put(WELL, image_builder("new"))
    export.aws.fail(SICK, Fault("slow", delay_s=300))
    export.extract = {"max_attempts": 8, "run_timeout_s": 3}
    started = time.monotonic()
    result = export.run()

    assert time.monotonic() - started < 150  # half of what the answer takes
    assert (result.committed, result.exit_code) == (True, 3)
    assert export.statuses()[SICK] == "timeout"
    assert export.sql("select name, is_stale from image_builders order by all") == [
        ("new", False),
        ("old", False),
        ("old", True),
    ]


@pytest.mark.slow
def test_a_stop_ends_slow_calls_and_commits_nothing(export: Export) -> None:
    export.aws.put(SICK, image_builder("a"))
    export.aws.fail("*", Fault("slow", delay_s=300))
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()

    with pytest.raises(Interrupted, match="nothing was committed"):
        execute_run(export.settings, export.contracts, stop=stop)

    assert time.monotonic() - started < 150
    left = [p for p in (export.folder / "warehouse").rglob("*") if p.suffix in (".parquet", ".json")]
    assert left == []
