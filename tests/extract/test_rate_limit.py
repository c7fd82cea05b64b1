"""A fixed pace: what the organization shares is asked slowly, by however many threads."""

import threading
import time

import pytest

from appstream_export.extract.aws import rate_limit
from appstream_export.extract.aws.rate_limit import RateLimiter
from appstream_export.model import Outcome
from tests.extract.asking import Answer, Asking
from tests.extract.wire import Wire

GO = threading.Event()  # never set


@pytest.fixture
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes between two calls, however busy the machine is."""
    now = time.monotonic()
    monkeypatch.setattr(rate_limit.time, "monotonic", lambda: now)


@pytest.mark.usefixtures("_stopped_clock")
def test_after_a_rest_one_seconds_worth_goes_out_at_once_and_no_more() -> None:
    slow = RateLimiter(5)

    waits = [slow.reserve() for _ in range(8)]

    assert waits[:5] == pytest.approx([0] * 5, abs=1e-6)
    assert waits[5:] == pytest.approx([0.2, 0.4, 0.6])


@pytest.mark.usefixtures("_stopped_clock")
def test_a_pace_below_one_call_a_second_is_kept_too() -> None:
    slow = RateLimiter(0.5)

    assert [slow.reserve(), slow.reserve()] == pytest.approx([0, 2], abs=1e-6)


def test_threads_share_the_pace() -> None:
    shared, started, at = RateLimiter(20), time.monotonic(), list[float]()
    threads = [threading.Thread(target=lambda: shared.wait(GO) and at.append(time.monotonic())) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(at) == 30
    assert max(at) - started >= 0.45  # 20 at once, and ten more at 20 a second


def test_a_stop_ends_the_wait() -> None:
    slow, stop = RateLimiter(0.01), threading.Event()
    slow.reserve()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()

    assert not slow.wait(stop)
    assert time.monotonic() - started < 50  # the next turn comes after 100 s


@pytest.mark.slow
def test_sts_is_asked_at_its_pace(wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rate_limit.CALLS_PER_S, "sts", 10.0)
    asking.ids = [f"{n:012}" for n in range(1, 17)]
    started = time.monotonic()

    assert set(asking.run().statuses.values()) == {"ok"}
    assert time.monotonic() - started >= 0.55
    assert len(wire.asked("AssumeRole")) == 16


def test_a_stop_is_noticed_while_roles_wait_for_their_turn(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rate_limit.CALLS_PER_S, "sts", 0.01)
    asking.ids = [f"{n:012}" for n in range(1, 9)]
    stop, results = threading.Event(), []
    for result in asking.start(stop=stop):
        results.append(result)
        if isinstance(result, Outcome) and not stop.is_set():
            stop.set()
            stopped = time.monotonic()

    assert time.monotonic() - stopped < 50  # the next turn comes after 100 s
    assert sorted(Answer(results).statuses.values()) == ["cancelled"] * 7 + ["ok"]
