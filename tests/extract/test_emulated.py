"""Extraction from the emulated AWS: each fault ends as its status, and no scope feels another's."""

import pytest

from appstream_export.emulator import FAULTS, Emulator, Fault, make_image_builder
from tests.extract.asking import EU, US, A, Asking, B
from tests.factories import FAILURES

STATUSES = {
    **FAILURES,
    # What these do to items is the flattening's to judge: the page is whole.
    "slow": "ok",
    "duplicate_items": "ok",
    "unknown_field": "ok",
    "unknown_enum": "ok",
    "wrong_types": "ok",
    "bad_timestamp": "ok",
    "no_name": "ok",
    "bad_element": "ok",
}
# One false token leads a scan astray, so these do not pass.
ASTRAY = ("repeated_token", "token_cycle", "endless_empty")
PASSING = [k for k, s in STATUSES.items() if s in ("throttled", "malformed", "network", "error") and k not in ASTRAY]
SCOPE, OTHER = f"{A}/{EU}", f"{B}/{EU}"


@pytest.fixture
def asking(aws: Emulator, asking: Asking) -> Asking:
    """Two accounts of the emulated AWS."""
    asking.endpoint_url, asking.ids = aws.endpoint_url, [A, B]
    return asking


def filled(aws: Emulator, scope: str, count: int = 3) -> list[str]:
    names = [f"b{n:03}" for n in range(count)]
    aws.put(scope, *(make_image_builder(name, scope=scope) for name in names))
    return names


def test_every_fault_of_the_emulator_has_its_status_here() -> None:
    assert set(STATUSES) == set(FAULTS)


@pytest.mark.parametrize("kind", STATUSES)
def test_a_fault_ends_as_its_status_and_the_other_account_is_whole(kind: str, aws: Emulator, asking: Asking) -> None:
    filled(aws, SCOPE)
    names = filled(aws, OTHER)
    aws.fail(SCOPE, Fault(kind, delay_s=0.1) if kind == "slow" else kind)

    answer = asking.run(page_size=2)

    assert answer.statuses == {SCOPE: STATUSES[kind], OTHER: "ok"}
    assert answer.names(OTHER) == names
    assert bool(answer.items(SCOPE)) == (STATUSES[kind] == "ok"), "an empty answer, or rows of a failure"


@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_that_passes_leaves_no_trace(kind: str, aws: Emulator, asking: Asking) -> None:
    names = filled(aws, SCOPE)
    aws.fail(SCOPE, kind, times=1)
    asking.extract["max_attempts"] = 4

    answer = asking.run(page_size=2)

    assert answer.statuses[SCOPE] == "ok"
    assert answer.names(SCOPE) == names


def test_the_emulators_items_arrive_as_it_holds_them(aws: Emulator, asking: Asking) -> None:
    filled(aws, SCOPE, 120)

    answer = asking.run()

    assert answer.items(SCOPE) == aws.list_items(SCOPE)
    assert answer.outcomes[SCOPE].pages > 1


def test_twelve_accounts_by_roles_see_their_own_alone(aws: Emulator, asking: Asking) -> None:
    asking.ids, asking.regions = [f"{n:012}" for n in range(1, 13)], [EU, US]
    scopes = [f"{account}/{region}" for account in asking.ids for region in asking.regions]
    for n, scope in enumerate(scopes):
        filled(aws, scope, n % 3)

    answer = asking.run()

    assert answer.statuses == dict.fromkeys(scopes, "ok")
    assert all(answer.items(scope) == aws.list_items(scope) for scope in scopes)
    assert sum(c.operation == "AssumeRole" for c in aws.calls) == 12


def test_a_region_that_is_disabled_is_denied_with_awss_code(aws: Emulator, asking: Asking) -> None:
    asking.regions = [EU, US]
    aws.disable_region(A, US)

    answer = asking.run()

    assert answer.outcomes[f"{A}/{US}"].error_code == "UnrecognizedClientException"
    assert answer.statuses == {f"{A}/{EU}": "ok", f"{A}/{US}": "denied", f"{B}/{EU}": "ok", f"{B}/{US}": "ok"}


def test_stand_in_credentials_are_of_one_account_and_no_other(aws: Emulator, asking: Asking) -> None:
    asking.accounts = [{"id": "123456789012"}, {"id": A}]
    aws.put(f"123456789012/{EU}", make_image_builder("mine", scope=f"123456789012/{EU}"))

    answer = asking.run()

    assert answer.statuses == {f"123456789012/{EU}": "ok", SCOPE: "mismatched"}
    assert answer.names() == ["mine"]
    assert "default chain: the credentials belong to account 123456789012, not to" in str(answer.outcomes[SCOPE].reason)


def test_names_that_aws_does_not_know_fail_nothing(aws: Emulator, asking: Asking) -> None:
    filled(aws, SCOPE)

    answer = asking.run(names=("b001", "nobody"))

    assert answer.names() == ["b001"]
    assert set(answer.statuses.values()) == {"filtered"}


def test_chunks_of_seven_resumed_to_the_end_equal_one_full_run(aws: Emulator, asking: Asking) -> None:
    asking.ids = [A]
    names, got, token = filled(aws, SCOPE, 40), [], None
    while (answer := asking.run(max_items=7, page_size=5, starting_token=token)).only.resume_token:
        got += answer.names()
        token = answer.only.resume_token

    assert got + answer.names() == names
