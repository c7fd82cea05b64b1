"""A blind spot is never expected: what each mix of network, session token and source of a region ends as."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.error_rules import suggest_fix
from appstream_export.errors import ConfigurationError
from appstream_export.extract import Account
from appstream_export.model import Outcome, Scope, Task
from appstream_export.preflight import Checkup, Verdict, check_readiness
from appstream_export.preflight.fixes import FixAdvisor
from appstream_export.run import Request, RunResult, execute_run
from appstream_export.settings import Settings, parse_settings
from appstream_export.status import Status
from tests.cells import ACCOUNT, Cell, build_settings, list_cells_of_tests
from tests.slices import long_but
from tests.world import EU, HOME, MEXICO, MILAN, SPAIN, Call, World

pytestmark = pytest.mark.usefixtures("without_checks", "way")

A, B = ACCOUNT, "444455556666"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An AWS behind a proxy."""
    with World(tmp_path / "world") as running:
        yield running


def run(
    world: World,
    *regions: str,
    role: bool = True,
    ids: tuple[str, ...] = (A,),
    extract: dict[str, Any] | None = None,
    **aws: Any,
) -> RunResult:
    settings = build_settings(world, *regions, role=role, ids=ids, extract=extract, **aws)
    return execute_run(settings, load_contracts(), Request(publish=False))


def examine(world: World, *regions: str) -> Checkup:
    accounts = [{"id": A, "role_arn": f"arn:aws:iam::{A}:role/reader"}]
    mapping = {"regions": list(regions), "accounts": accounts, "extract": {"max_attempts": 2}}
    return check_readiness(parse_settings(mapping, world.folder / "a.toml"), load_contracts(), Request())


def statuses(result: RunResult) -> dict[str, str]:
    return {str(task.scope): str(outcome.status) for task, outcome in sorted(result.outcomes.items())}


@pytest.mark.parametrize("cell", list(list_cells_of_tests()))
def test_a_region_ends_as_what_is_proved_of_it(cell: Cell, tmp_path: Path) -> None:
    assert cell.observe(tmp_path, pytest.MonkeyPatch.context()) == cell.expected


KEYS = {"AWS_ACCESS_KEY_ID": f"AKIA{A}", "AWS_SECRET_ACCESS_KEY": "secret-word"}
LEGACY = KEYS | {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"AWS_DEFAULT_REGION": MILAN},
        pytest.param({"AWS_DEFAULT_REGION": "aws-global"}, marks=pytest.mark.slow),
    ],
)
def test_a_role_is_assumed_in_a_region_that_every_account_has(
    environ: dict[str, str], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.closed.add((A, MILAN))
    world.enter(monkeypatch, **LEGACY, **environ)

    result = run(world, HOME, SPAIN)

    assert (statuses(result), result.exit_code) == ({f"{A}/{HOME}": "ok", f"{A}/{SPAIN}": "ok"}, 0)
    assert {c.region for c in world.list_calls("AssumeRole")} == {HOME}


def test_a_role_of_botocores_own_chain_is_assumed_so_too(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world.enter(monkeypatch)
    file = tmp_path / "config"
    file.write_text(
        f"[profile base]\naws_access_key_id = AKIA{A}\naws_secret_access_key = secret-word\n"
        f"[profile reader]\nrole_arn = arn:aws:iam::{A}:role/reader\nsource_profile = base\nregion = {EU}\n"
        "sts_regional_endpoints = legacy\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "reader")
    world.closed.add((A, MILAN))
    world.without_sts.add(EU)

    result = run(world, HOME, MILAN, SPAIN, role=False)

    assert statuses(result) == {f"{A}/{MILAN}": "disabled", f"{A}/{SPAIN}": "ok", f"{A}/{HOME}": "ok"}
    assert (result.exit_code, [c.region for c in world.list_calls("AssumeRole")]) == (0, [EU, HOME])


def test_sts_that_is_switched_off_in_a_region_is_asked_at_home(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.without_sts.add(EU)
    world.enter(monkeypatch, **LEGACY, AWS_DEFAULT_REGION=EU)

    result = run(world, HOME, SPAIN, ids=(A, B))

    assert (result.exit_code, set(statuses(result).values())) == (0, {"ok"})
    assert {c.region for c in world.list_calls("AssumeRole")} == {EU, HOME}


def test_the_global_sts_is_refused_where_the_environment_names_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enter(monkeypatch, **LEGACY, AWS_ENDPOINT_URL_STS="https://sts.amazonaws.com")

    with pytest.raises(ConfigurationError, match="remove it from AWS_ENDPOINT_URL_STS"):
        run(world, HOME)
    assert world.calls == []


def test_a_default_region_that_refuses_the_session_is_no_closed_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.refusing.add((A, EU))
    world.enter(monkeypatch, **LEGACY)

    result = run(world, HOME, EU)

    assert (statuses(result)[f"{A}/{EU}"], result.exit_code) == ("denied", 3)


@pytest.mark.parametrize("allowed", ["account:ListRegions", "ec2:DescribeRegions"])
@pytest.mark.parametrize(("token", "closed", "seen"), [("v2", True, ("disabled", 0)), ("v1", False, ("denied", 3))])
def test_a_list_of_enabled_regions_proves_what_a_token_cannot(
    allowed: str, token: str, closed: bool, seen: tuple[str, int], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.allowed.add(allowed)
    world.closed |= {(A, MILAN)} if closed else set()
    world.enter(monkeypatch, **LEGACY, AWS_SESSION_TOKEN=token)

    result = run(world, HOME, MILAN, role=False)

    (outcome,) = [o for t, o in result.outcomes.items() if t.scope.region == MILAN]
    assert (outcome.status, result.exit_code) == seen
    if not closed:
        assert "regional STS endpoint" in suggest_fix(outcome.status, outcome.error_code)


@pytest.mark.slow
def test_a_list_of_enabled_regions_that_fails_is_tried_again_and_is_never_taken_for_no_proof(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.allowed.add("account:ListRegions")
    world.closed.add((A, MILAN))
    world.enter(monkeypatch, **LEGACY, AWS_SESSION_TOKEN="v2")
    extract = {"max_attempts": 2, "workers": 8}
    world.failing["account:ListRegions"] = 1
    passed = run(world, HOME, MILAN, role=False, extract=extract)
    world.failing["account:ListRegions"] = 99
    failed = run(world, HOME, MILAN, role=False, extract=extract)

    assert (statuses(passed)[f"{A}/{MILAN}"], passed.exit_code) == ("disabled", 0)
    (failure,) = failed.failures
    assert "AWS did not list whether the region is enabled: ListRegions: InternalFailure" in str(failure.reason)
    assert failed.exit_code == 3


def test_an_opt_in_region_that_answers_proves_the_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.closed.add((A, MILAN))
    world.enter(monkeypatch, **LEGACY, AWS_SESSION_TOKEN="v2")

    result = run(world, HOME, MILAN, SPAIN, role=False)

    assert (statuses(result)[f"{A}/{MILAN}"], result.exit_code) == ("disabled", 0)


@pytest.mark.slow
def test_without_proof_the_fix_is_one_setting_and_with_it_the_other_region_is_proof(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.closed.add((A, MILAN))
    world.enter(monkeypatch, **LEGACY, AWS_SESSION_TOKEN="v2")

    unproved = run(world, HOME, MILAN, role=False)
    trusted = run(world, HOME, MILAN, role=False, regional_session_tokens=True)

    (failure,) = unproved.failures
    assert "set [aws] regional_session_tokens = true" in suggest_fix(failure.status, failure.error_code)
    assert (unproved.exit_code, trusted.exit_code) == (3, 0)
    assert statuses(trusted)[f"{A}/{MILAN}"] == "disabled"


def test_a_region_that_only_a_list_out_of_reach_could_rule_out_is_a_failure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.offered = ()
    world.enter(monkeypatch, **LEGACY)
    world.unreachable.add(f"appstream2.{MEXICO}.amazonaws.com")

    result = run(world, HOME, MEXICO)

    assert (statuses(result)[f"{A}/{MEXICO}"], result.exit_code) == ("network", 3)


@pytest.mark.slow
@pytest.mark.parametrize("use_documented_client_api", long_but([False, True], False))
def test_a_region_that_nobody_reaches_gets_one_short_try_per_account(
    use_documented_client_api: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tuple(f"{n:012}" for n in range(1, 13))
    world.break_network(EU, "reset")
    world.enter(monkeypatch, **KEYS)
    patient = {"max_attempts": 8, "workers": 3, "use_documented_client_api": use_documented_client_api}

    result = run(world, HOME, EU, ids=ids, extract=patient)

    dead = [o for t, o in result.outcomes.items() if t.scope.region == EU]
    assert ({str(o.status) for o in dead}, result.answer_count, result.exit_code) == ({"network"}, 12, 3)
    assert sum(o.api_calls for o in dead) <= 2 * len(ids)
    assert sorted(o.api_calls for o in dead)[: len(ids) // 2] == [1] * (len(ids) // 2)


class Recovering(World):
    """A world in which a region is away for some connections; back again, it throttles its first call.

    Two calls of two tries each are an account's: after ten, three accounts at least found nobody there.
    """

    away, is_throttled = 10, False

    def can_reach(self, host: str) -> bool:
        """Whether the proxy finds the host by now."""
        if EU not in host:
            return super().can_reach(host)
        self.away -= 1
        return self.away < 0

    def answer(self, call: Call) -> tuple[int, bytes]:
        """The answer of a host, the first of the region a refusal."""
        if call.region != EU or self.is_throttled:
            return super().answer(call)
        self.is_throttled = True
        return 400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'


@pytest.mark.slow
def test_a_region_that_is_back_and_throttles_has_its_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tuple(f"{n:012}" for n in range(1, 9))
    with Recovering(tmp_path) as world:
        world.enter(monkeypatch, **KEYS)
        result = run(world, HOME, EU, ids=ids, extract={"max_attempts": 4, "workers": 1})

    ended = {str(outcome.status) for task, outcome in result.outcomes.items() if task.scope.region == EU}
    assert (ended, world.is_throttled) == ({"network", "ok"}, True)


class Holding(World):
    """A world in which calls to a dead region, but the first few, wait until the home region has answered everyone."""

    failing_at_once = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.has_seen_all, self.in_vain = Event(), 0

    def can_reach(self, host: str) -> bool:
        """Whether the proxy finds the host: the dead one's never."""
        if EU not in host:
            return super().can_reach(host)
        self.failing_at_once -= 1
        if self.failing_at_once < 0:
            self.in_vain += not self.has_seen_all.wait(4)
        return False

    def answer(self, call: Call) -> tuple[int, bytes]:
        """The answer of a host."""
        found = super().answer(call)
        if len(self.list_calls("DescribeImageBuilders")) == ACCOUNTS_OF_DEAD_REGIONS:
            self.has_seen_all.set()
        return found


ACCOUNTS_OF_DEAD_REGIONS = 24


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "failing_at_once"), [(1, 6), (11, 0)], ids=["once known", "before it is known"])
def test_a_dead_region_holds_up_no_other(
    workers: int, failing_at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tuple(f"{n:012}" for n in range(1, ACCOUNTS_OF_DEAD_REGIONS + 1))
    with Holding(tmp_path) as world:
        world.failing_at_once = failing_at_once
        world.enter(monkeypatch, **KEYS)
        result = run(world, HOME, EU, ids=ids, extract={"max_attempts": 2, "workers": workers})

    assert (result.answer_count, len(result.failures), world.in_vain) == (len(ids), len(ids), 0)


def test_the_doctor_warns_of_a_region_that_no_list_has(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.enter(monkeypatch, **KEYS)
    world.unreachable.add(f"appstream2.{MEXICO}.amazonaws.com")

    checkup = examine(world, HOME, MEXICO)

    (warned,) = checkup.filter_findings(Verdict.WARNING)
    assert (checkup.exit_code, warned.region, warned.status) == (0, MEXICO, "unavailable")
    assert f'leave the region out: [[accounts]] {A} regions = ["{HOME}"]' in str(warned.fix)


def test_the_doctor_suggests_the_region_that_was_probably_meant() -> None:
    now, task = datetime.now(UTC), Task("image_builders", Scope(A, "eu-central-9"))
    absent = Outcome(
        task=task, status=Status.UNAVAILABLE, reason="no list has it", attempted_at=now, finished_at=now, api_calls=1
    )
    tasks = [Task("image_builders", Scope(A, HOME)), task]

    fix = FixAdvisor(Settings(), {}, {A: Account(id=A)}, tasks).suggest_call_fix(absent)
    assert fix.startswith('did you mean "eu-central-1"? Else leave the region out: [[accounts]]')


def test_the_doctor_names_fips_where_a_region_has_none() -> None:
    now, task = datetime.now(UTC), Task("image_builders", Scope(A, EU))
    reason = f'Could not connect to the endpoint URL: "https://appstream2-fips.{EU}.amazonaws.com/"'
    gone = Outcome(
        task=task, status=Status.NETWORK, reason=reason, error_code="EndpointConnectionError",
        attempted_at=now, finished_at=now, api_calls=4,
    )  # fmt: skip
    tasks = [Task("image_builders", Scope(A, HOME)), task]

    fix = FixAdvisor(Settings(), {}, {A: Account(id=A)}, tasks).suggest_call_fix(gone)

    assert fix.startswith("unset AWS_USE_FIPS_ENDPOINT, or leave out regions without FIPS: ")
    assert f'regions = ["{HOME}"]' in fix


def test_a_proxy_that_finds_no_endpoint_is_told_from_one_that_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enter(monkeypatch, **KEYS)
    world.unreachable.add(f"appstream2.{EU}.amazonaws.com")

    (failure,) = run(world, HOME, EU).failures

    assert (failure.status, failure.error_code) == ("network", "EndpointConnectionError")
    assert f" did not connect to appstream2.{EU}.amazonaws.com: Tunnel connection failed: 5" in str(failure.reason)
