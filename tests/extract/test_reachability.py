"""Regions that nothing reaches: known once some accounts failed there while AWS answered elsewhere."""

import time

import pytest

from appstream_export.errors import RetriableScopeError
from appstream_export.extract.scan.reachability import ACCOUNTS_MIN, Reachability
from appstream_export.status import Status

PLACE = ("appstream", "eu-west-1")
NO_ROUTE = RetriableScopeError(Status.NETWORK, "no route", code="ConnectTimeout")


def fail(reachability: Reachability, *, began_at: float) -> None:
    for account in range(ACCOUNTS_MIN):
        reachability.record_error(PLACE, str(account), NO_ROUTE, began_at)


def test_an_answer_of_sts_while_the_first_calls_wait_shows_that_the_region_is_the_cause() -> None:
    """Where every region is dead, nothing answers after them."""
    reachability, began_at = Reachability(), time.monotonic()
    reachability.record_answer()
    fail(reachability, began_at=began_at)

    assert reachability.is_unreachable(PLACE)


@pytest.mark.parametrize("is_answered_before", [True, False])
def test_without_such_an_answer_our_own_network_may_be_down(is_answered_before: bool) -> None:
    reachability = Reachability()
    if is_answered_before:
        reachability.record_answer()
    fail(reachability, began_at=time.monotonic() + 1)

    assert not reachability.is_unreachable(PLACE)


def test_an_answer_after_the_first_failed_call_counts_though_later_calls_fail_too() -> None:
    reachability, now = Reachability(), time.monotonic()
    reachability.record_error(PLACE, "first", NO_ROUTE, now - 10)
    reachability.record_answer()
    fail(reachability, began_at=now + 10)

    assert reachability.is_unreachable(PLACE)


def test_a_region_that_has_answered_is_never_unreachable() -> None:
    reachability, began_at = Reachability(), time.monotonic()
    reachability.record_answer(PLACE)
    fail(reachability, began_at=began_at)

    assert not reachability.is_unreachable(PLACE)
