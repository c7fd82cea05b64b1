"""Nothing waits for ever: a task, and the asking as a whole, end at their deadline whatever AWS does."""

import time
from collections import Counter

import pytest

from tests.extract.asking import EU, A, Asking, B
from tests.extract.wire import Reply, Wire, page, refusal

SCOPE, OTHER = f"{A}/{EU}", f"{B}/{EU}"
SHORT_S = 0.6
HANG_S = 150  # far below the 300 s that an answer would take
ENOUGH_S = 5  # for a scope that is well, on a machine that is busy


@pytest.mark.slow
def test_a_call_that_does_not_return_ends_its_task_alone(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.extract["task_timeout_s"] = [A, B], ENOUGH_S
    wire.always(SCOPE, page("a", delay_s=300))
    wire.script(OTHER, page("b"))
    started = time.monotonic()

    answer = asking.run()

    assert time.monotonic() - started < HANG_S
    assert (answer.statuses, answer.names()) == ({SCOPE: "timeout", OTHER: "ok"}, ["b"])
    late = answer.outcomes[SCOPE]
    assert late.error_code == "TaskTimeout"
    assert late.reason == "not finished 5 s after its first call ([extract] task_timeout_s)"


@pytest.mark.slow
def test_an_answer_that_drips_holds_its_task_no_longer(wire: Wire, asking: Asking) -> None:
    """Each byte comes in time for botocore, which would wait for the last one for as long as it takes."""
    asking.extract["task_timeout_s"] = SHORT_S
    body = page(*"abcdefgh").body
    wire.always(SCOPE, Reply(body, drip_s=300 / len(body)))
    started = time.monotonic()

    assert asking.run().only.status == "timeout"
    assert time.monotonic() - started < HANG_S


@pytest.mark.slow
def test_a_scan_that_waits_for_its_next_try_ends_at_its_deadline(wire: Wire, asking: Asking) -> None:
    asking.extract |= {"max_attempts": 50, "task_timeout_s": 1}
    wire.always(SCOPE, refusal("ThrottlingException", "Rate exceeded"))
    started = time.monotonic()

    only = asking.run().only

    assert 0.9 < time.monotonic() - started < HANG_S
    assert only.status == "timeout"
    assert str(only.reason).endswith("; last: DescribeImageBuilders: ThrottlingException: Rate exceeded")
    assert only.throttles > 0


@pytest.mark.slow
def test_pages_without_end_stop_at_the_deadline_and_do_not_count(wire: Wire, asking: Asking) -> None:
    asking.extract["task_timeout_s"] = ENOUGH_S
    # So slow that the limit of 10,000 pages is out of reach.
    wire.always(SCOPE, lambda _: page(f"i{len(wire.calls)}", token=f"{len(wire.calls)}", delay_s=0.05))

    answer = asking.run()

    assert (answer.only.status, answer.only.items, answer.names()) == ("timeout", 0, [])
    assert answer.only.pages > 1


@pytest.mark.slow
def test_a_role_that_does_not_come_ends_all_tasks_of_its_account(wire: Wire, asking: Asking) -> None:
    asking.ids, asking.regions, asking.extract["task_timeout_s"] = [A, B], [EU, "us-east-1"], ENOUGH_S
    wire.always(f"sts/{A}", Reply(delay_s=300))

    statuses = asking.run().statuses

    assert Counter(statuses.values()) == {"timeout": 2, "ok": 2}
    assert statuses[SCOPE] == "timeout"


@pytest.mark.slow
def test_a_task_does_not_pay_for_the_time_of_others(wire: Wire, asking: Asking) -> None:
    asking.ids = [f"{n:012}" for n in range(1, 13)]
    asking.extract = {"workers": 1, "task_timeout_s": ENOUGH_S}
    for account in asking.ids:
        wire.always(f"{account}/{EU}", page(delay_s=1.5 * ENOUGH_S / len(asking.ids)))

    assert set(asking.run().statuses.values()) == {"ok"}


@pytest.mark.slow
def test_the_run_ends_what_is_open_and_keeps_what_was_through(wire: Wire, asking: Asking) -> None:
    asking.ids = [f"{n:012}" for n in range(1, 41)]
    asking.extract = {"workers": 2, "run_timeout_s": ENOUGH_S}
    for account in asking.ids:
        wire.always(f"{account}/{EU}", page("a", delay_s=2 * ENOUGH_S / 20))
    started = time.monotonic()

    answer = asking.run()

    assert time.monotonic() - started < HANG_S
    statuses = Counter(answer.statuses.values())
    assert statuses["ok"] >= 2
    assert statuses["ok"] + statuses["timeout"] == 40
    late = next(o for o in answer.outcomes.values() if o.status == "timeout")
    assert late.error_code == "RunTimeout"
    assert late.reason == "not finished 5 s after the run's first request ([extract] run_timeout_s)"
