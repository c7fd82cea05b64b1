"""Any life of a warehouse, over the wire: the small variant of tests/lake/machine.py, with real runs."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from appstream_export.emulator import Emulator
from tests.export import ACCOUNTS, REGIONS, Export
from tests.factories import image_builder

pytestmark = pytest.mark.slow

FAULTS = {"deny": "denied", "truncated": "malformed", "throttle": "throttled", "foreign_arn": "mismatched"}
SCOPES = [f"{account}/{region}" for account in ACCOUNTS for region in REGIONS]
scopes, names = st.sampled_from(SCOPES), st.sampled_from("ab")
Rows = dict[str, tuple[str, tuple[str, ...]]]


class Lives(RuleBasedStateMachine):
    """What each scope must serve: its rows at the last complete answer, stale since it failed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="lives-"))
        self.aws = Emulator()
        self.aws.start()
        self.export = Export(self.aws, self.folder)
        self.held: dict[str, Rows] = {scope: {} for scope in SCOPES}
        self.sick: dict[str, str] = {}
        self.served: dict[str, Rows] = {}
        self.status: dict[str, str] = {}

    def teardown(self) -> None:
        """This life's AWS ends with it."""
        self.aws.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def begin(self) -> None:
        """A builder in each scope, so that a damaged answer has something to be damaged."""
        for scope in SCOPES:
            self.put(scope, "always", "RUNNING", ("subnet-1",))
        self.run()

    @rule(
        scope=scopes, name=names, state=st.sampled_from(["RUNNING", "STOPPED"]), subnets=st.sampled_from([(), ("x",)])
    )
    def put(self, scope: str, name: str, state: str, subnets: tuple[str, ...]) -> None:
        """A builder is made or changed."""
        self.held[scope] = self.held[scope] | {name: (state, subnets)}
        self.aws.put(scope, image_builder(name, State=state, subnets=list(subnets)))

    @rule(scope=scopes, name=names)
    def remove(self, scope: str, name: str) -> None:
        """A builder goes."""
        if name in self.held[scope]:
            self.held[scope] = {n: row for n, row in self.held[scope].items() if n != name}
            self.aws.remove(scope, name)

    @rule(scope=scopes, fault=st.sampled_from(list(FAULTS)))
    def fall_sick(self, scope: str, fault: str) -> None:
        """A scope fails from now on."""
        self.heal(scope)
        self.sick[scope] = FAULTS[fault]
        self.aws.fail(scope, fault)

    @rule(scope=scopes)
    def heal(self, scope: str) -> None:
        """It answers again."""
        self.sick.pop(scope, None)
        self.aws.heal(scope)

    @rule(retry=st.booleans())
    def run(self, *, retry: bool = False) -> None:
        """A run, or one that asks only what failed."""
        asked = [s for s in SCOPES if not retry or self.status[s] != "ok"]
        done = self.export.run(retry_failed=retry)
        for scope in asked:
            self.status[scope] = self.sick.get(scope, "ok")
            if scope not in self.sick:
                self.served[scope] = self.held[scope]
        assert done.exit_code == (3 if {*asked} & self.sick.keys() else 0)

    @invariant()
    def readers_see_the_last_complete_answers(self) -> None:
        """Rows, children, status and staleness."""
        if not self.status:
            return
        found: dict[str, Rows] = {scope: {} for scope in SCOPES}
        for scope, name, state, subnets in self.export.sql(
            "select account_id || '/' || region, name, state, (select list(subnet_id order by position)"
            " from image_builder_subnets as s where s.account_id = b.account_id and s.region = b.region"
            " and s.image_builder_name = b.name) from image_builders as b"
        ):
            found[scope][name] = (state, tuple(subnets or ()))
        assert found == self.served
        assert self.export.statuses() == self.status
        stale = self.export.sql("select account_id || '/' || region from scope_runs where is_stale")
        assert set(stale) == {scope for scope, status in self.status.items() if status != "ok"}


FEW = settings(
    max_examples=2, stateful_step_count=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def test_in_any_life_readers_see_the_last_complete_answers() -> None:
    run_state_machine_as_test(Lives, settings=FEW)
