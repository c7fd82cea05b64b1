"""`[extract] use_documented_client_api = true`: botocore signs and parses, and no page is lost in it."""

import gc
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest
from botocore.client import BaseClient

from appstream_export.emulator import Emulator, make_image_builder
from appstream_export.extract.aws.compat import CompatibleClients
from appstream_export.extract.scan import scheduler
from appstream_export.extract.scan.operation import convert_to_json_value
from appstream_export.settings import Settings
from tests.extract.asking import EU, US, A, Asking, B
from tests.extract.test_emulated import STATUSES
from tests.extract.wire import Reply, Seen, Wire, page, refusal

SCOPE, OTHER = f"{A}/{EU}", f"{B}/{EU}"
UNREADABLE = dict.fromkeys(("wrong_types", "bad_timestamp", "bad_element"), "malformed")
"""botocore's parser gives up on a page with such a value; our reading keeps the rest of it."""


@pytest.fixture
def way() -> None:
    """These clients have no templates."""


@pytest.fixture
def asking(asking: Asking) -> Asking:
    asking.extract["use_documented_client_api"] = True
    return asking


@pytest.fixture
def emulated(aws: Emulator, asking: Asking) -> Asking:
    asking.endpoint_url, asking.ids = aws.endpoint_url, [A, B]
    return asking


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.mark.parametrize("kind", [k for k in STATUSES if k != "slow"])
def test_a_fault_ends_as_its_status_and_is_never_an_empty_page(kind: str, aws: Emulator, emulated: Asking) -> None:
    status = (STATUSES | UNREADABLE)[kind]
    for scope in (SCOPE, OTHER):
        aws.put(scope, *(make_image_builder(f"b{n}", scope=scope) for n in range(3)))
    aws.fail(SCOPE, kind)

    answer = emulated.run(page_size=2)

    assert answer.statuses == {SCOPE: status, OTHER: "ok"}
    assert answer.names(OTHER) == ["b0", "b1", "b2"]
    assert bool(answer.items(SCOPE)) == (status == "ok"), "an empty answer, or rows of a failure"


@pytest.mark.usefixtures("berlin")
def test_items_come_as_the_other_way_gives_them_whatever_the_zone(aws: Emulator, emulated: Asking) -> None:
    """The clock goes back at 01:00 UTC that day: the two times are the same on a wall in Berlin."""
    emulated.ids = [A]
    fields: dict[str, Any] = {"scope": SCOPE, "complete": True}
    aws.put(SCOPE, make_image_builder("summer", **fields, CreatedTime=1761438600.123456))
    aws.put(SCOPE, make_image_builder("winter", **fields, CreatedTime=1761442200.654321))
    aws.put(SCOPE, *(make_image_builder(f"b{n}", **fields) for n in range(60)))

    answer = emulated.run()

    assert answer.items() == aws.list_items(SCOPE)
    assert answer.only.pages == 2


def test_values_of_the_parser_become_jsons_own() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    assert convert_to_json_value({"At": [at], "Is": True, "N": 1, "Raw": b"\x00"}) == {
        "At": [at.timestamp()],
        "Is": True,
        "N": 1,
        "Raw": "AA==",
    }


def test_nothing_undocumented_is_needed(wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if botocore fired no event that we register for, and spoke another protocol than ours."""
    monkeypatch.setattr(botocore.session.Session, "register", lambda *_, **__: None)
    monkeypatch.setattr("appstream_export.extract.scan.operation.PROTOCOLS", ("carrier-pigeon",))
    asking.ids, asking.regions = [A, B], [EU, US]
    wire.script(SCOPE, page("a", token="1"), page("b"))

    answer = asking.run()

    assert set(answer.statuses.values()) == {"ok"}
    assert answer.names(SCOPE) == ["a", "b"]
    assert {c.key.rpartition("-")[0] for c in wire.asked("DescribeImageBuilders")} == {f"ASIA-{A}", f"ASIA-{B}"}


@pytest.mark.slow
def test_each_worker_has_one_client_and_drops_it_with_its_scope(
    wire: Wire, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[CompatibleClients] = []
    held: list[int] = []

    def kept(settings: Settings, operations: list[str], stop: Any, process_count: int) -> CompatibleClients:
        made.append(CompatibleClients(settings, operations, stop, process_count=process_count))
        return made[-1]

    def answer(_: Seen) -> Reply:
        held.append(len(made[0]))
        return page("a")

    monkeypatch.setattr(scheduler, "create_clients", kept)
    asking.ids, asking.extract["workers"] = [f"{n:012}" for n in range(1, 25)], 3
    for account in asking.ids:
        wire.always(f"{account}/{EU}", answer)
    before = _living_clients()

    assert set(asking.run().statuses.values()) == {"ok"}
    assert len(held) == 24
    assert max(held) <= 3
    assert len(made[0]) == 0
    assert _living_clients() - before <= 3


def _living_clients() -> int:
    gc.collect()
    return sum(isinstance(thing, BaseClient) for thing in gc.get_objects())


@pytest.mark.slow
def test_max_attempts_counts_every_try_and_throttles_wait_in_the_schedule(wire: Wire, asking: Asking) -> None:
    asking.extract["max_attempts"] = 3
    wire.always(SCOPE, refusal("ThrottlingException"))

    only = asking.run().only

    assert (only.status, only.api_calls, only.throttles, only.retries) == ("throttled", 3, 3, 2)
    assert len(wire.asked("DescribeImageBuilders")) == 3


def test_credentials_that_expire_are_renewed_with_a_new_client(wire: Wire, asking: Asking) -> None:
    wire.script(SCOPE, page("a", token="1"), refusal("ExpiredTokenException"), page("b"))

    assert asking.run().names() == ["a", "b"]
    assert [c.key[-1] for c in wire.asked("DescribeImageBuilders")] == ["1", "1", "2"]


def test_twelve_accounts_see_their_own_alone(aws: Emulator, emulated: Asking) -> None:
    emulated.ids, emulated.regions = [f"{n:012}" for n in range(1, 13)], [EU, US]
    for n, scope in enumerate(f"{account}/{region}" for account in emulated.ids for region in emulated.regions):
        aws.put(scope, *(make_image_builder(f"b{i}", scope=scope) for i in range(n % 3)))

    answer = emulated.run()

    assert set(answer.statuses.values()) == {"ok"}
    assert all(answer.items(scope) == aws.list_items(scope) for scope in answer.statuses)
