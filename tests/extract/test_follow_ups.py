"""Follow-up calls on the wire: one per row of the parent, complete or failed, and never from an incomplete list."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appstream_export.contracts import load_contracts
from appstream_export.extract import extract_tasks, map_accounts, resolve_outcomes
from appstream_export.extract.accounts import list_configured_accounts
from appstream_export.model import Outcome, Page, ScanOptions, Scope, Task
from appstream_export.status import Status
from tests.extract.asking import EU, A, Asking
from tests.extract.wire import Reply, Seen, Wire, json_reply, refusal

HERE = f"{A}/{EU}"
STACKS = """doc = "d"
service = "appstream"
operation = "DescribeStacks"
items = "Stacks"
item_name = "stack"
[stacks]
doc = "d"
key = ["name"]
name = { from = "Name", type = "string", doc = "d" }
arn = { from = "Arn", type = "string", doc = "d" }
"""
ENTITLEMENTS = """doc = "d"
service = "appstream"
operation = "DescribeEntitlements"
items = "Entitlements"
item_name = "entitlement"
per = "stacks"
with = { StackName = "{name}" }
limits = { max_calls_per_s = 1000 }
[entitlements]
doc = "d"
key = ["stack_name", "name"]
stack_name = { from = "{name}", type = "string", doc = "d" }
name = { from = "Name", type = "string", doc = "d" }
"""
APPLICATIONS = """doc = "d"
service = "appstream"
operation = "ListEntitledApplications"
items = "EntitledApplications"
item_name = "entitled_application"
per = "entitlements"
with = { StackName = "{stack_name}", EntitlementName = "{name}" }
limits = { max_calls_per_s = 1000 }
[entitled_applications]
doc = "d"
key = ["stack_name", "entitlement_name", "identifier"]
stack_name = { from = "{stack_name}", type = "string", doc = "d" }
entitlement_name = { from = "{name}", type = "string", doc = "d" }
identifier = { from = "ApplicationIdentifier", type = "string", doc = "d" }
"""
FLEETS = """doc = "d"
service = "appstream"
operation = "DescribeFleets"
items = "Fleets"
item_name = "fleet"
only_where = "stacks"
[fleets]
doc = "d"
key = ["name"]
name = { from = "Name", type = "string", doc = "d" }
"""
Answer = Reply | list[Any]


@dataclass
class Service:
    """An AppStream by operation and main input; `faults` are answers given before the true one, by the same key."""

    stacks: list[Any] = field(default_factory=lambda: ["a", "b", "c"])
    answers: dict[str, Any] = field(default_factory=dict)
    faults: dict[str, list[Reply]] = field(default_factory=dict)

    def reply(self, seen: Seen) -> Reply:
        place = seen.params.get("EntitlementName") or seen.params.get("StackName") or seen.operation
        if self.faults.get(place):
            return self.faults[place].pop(0)
        if place in self.answers:
            found = self.answers[place]
            return found(seen) if callable(found) else found
        return {
            "DescribeStacks": lambda: stacks(*self.stacks),
            "DescribeFleets": lambda: json_reply({"Fleets": [{"Name": "f"}]}),
            "DescribeEntitlements": lambda: entitlements(f"{place}-1", f"{place}-2"),
            "ListEntitledApplications": lambda: json_reply(
                {"EntitledApplications": [{"ApplicationIdentifier": f"{place}-x"}]}
            ),
        }[seen.operation]()


def stacks(*found: Any, token: str | None = None) -> Reply:
    items = [{"Name": s} if isinstance(s, str) else s for s in found]
    return json_reply({"Stacks": items} | ({"NextToken": token} if token else {}))


def entitlements(*names: str, token: str | None = None) -> Reply:
    return json_reply({"Entitlements": [{"Name": n} for n in names]} | ({"NextToken": token} if token else {}))


@dataclass
class Result:
    """What came of the tasks of one scope."""

    pages: list[Page]
    outcomes: dict[str, Outcome]

    @property
    def statuses(self) -> dict[str, str]:
        return {name: str(outcome.status) for name, outcome in self.outcomes.items()}

    def rows(self, resource: str, column: str = "Name") -> list[tuple[str, str]]:
        """The parent's row and the item of each row."""
        return [
            ("/".join(page.parent_row.values()), item[column])
            for page in self.pages
            if page.task.resource == resource
            for item in page.items
        ]


@pytest.fixture(autouse=True)
def service(wire: Wire) -> Service:
    found = Service()
    wire.always(HERE, found.reply)
    return found


Run = Callable[..., Result]


@pytest.fixture
def run(asking: Asking, tmp_path: Path) -> Run:
    """Runs of these contracts in one scope."""

    def extracted(*texts: str, **options: Any) -> Result:
        for text in texts:
            name = text.partition("\n[")[2].partition("]")[0]
            (tmp_path / f"{name}.toml").write_text(text)
        contracts = {c.name: c for c in load_contracts(tmp_path)}
        accounts = map_accounts(list_configured_accounts(asking.settings))
        tasks = [Task(name, Scope(A, EU)) for name in contracts]
        results = list(
            extract_tasks(
                tasks,
                contracts,
                accounts,
                asking.settings,
                ScanOptions(**options),
                run_id="run-1",
                stop=threading.Event(),
            )
        )
        outcomes = resolve_outcomes({r.task: r for r in results if isinstance(r, Outcome)})
        assert len(outcomes) == sum(isinstance(r, Outcome) for r in results) == len(tasks)
        pages = [r for r in results if isinstance(r, Page)]
        return Result(pages, {task.resource: outcome for task, outcome in outcomes.items()})

    return extracted


def count_calls(wire: Wire) -> dict[str, int]:
    return dict(Counter(c.operation for c in wire.calls if c.service == "appstream"))


def test_each_row_of_the_parent_leads_to_one_call_with_its_columns(wire: Wire, run: Run) -> None:
    result = run(STACKS, ENTITLEMENTS)

    assert result.statuses == {"stacks": "ok", "entitlements": "ok"}
    assert [c.params for c in wire.asked("DescribeEntitlements")] == [{"StackName": s} for s in "abc"]
    assert result.rows("entitlements") == [(s, f"{s}-{n}") for s in "abc" for n in (1, 2)]
    assert [p.number for p in result.pages if p.task.resource == "entitlements"] == [0, 1, 2]
    assert (result.outcomes["entitlements"].api_calls, result.outcomes["entitlements"].items) == (3, 6)


def test_a_follow_up_may_have_follow_ups(wire: Wire, service: Service, run: Run) -> None:
    service.stacks = ["a", "b"]

    result = run(STACKS, ENTITLEMENTS, APPLICATIONS)

    assert set(result.statuses.values()) == {"ok"}
    assert count_calls(wire) == {"DescribeStacks": 1, "DescribeEntitlements": 2, "ListEntitledApplications": 4}
    assert result.rows("entitled_applications", "ApplicationIdentifier") == [
        (f"{name}/{s}", f"{name}-x") for s in "ab" for name in (f"{s}-1", f"{s}-2")
    ]


def test_without_rows_of_the_parent_a_follow_up_is_ok_without_a_call(wire: Wire, service: Service, run: Run) -> None:
    service.stacks = []

    result = run(STACKS, ENTITLEMENTS, APPLICATIONS)

    assert set(result.statuses.values()) == {"ok"}
    assert count_calls(wire) == {"DescribeStacks": 1}


@pytest.mark.parametrize("place", ["a", "b", "c"])
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (refusal("AccessDeniedException"), "denied"),
        (refusal("ThrottlingException"), "throttled"),
        (Reply(b'{"Entitlements": [{"Na'), "malformed"),
        (Reply(b"{}"), "malformed"),
        (refusal("InternalFailure", status=500), "error"),
    ],
    ids=["denied", "throttled", "cut", "no list", "500"],
)
def test_a_call_that_keeps_failing_fails_its_task_and_what_follows_from_it(
    wire: Wire, asking: Asking, service: Service, run: Run, place: str, reply: Reply, status: str
) -> None:
    asking.extract["max_attempts"] = 1
    service.answers[place] = reply

    result = run(STACKS, ENTITLEMENTS, APPLICATIONS)

    assert result.statuses["stacks"] == "ok"
    assert result.statuses["entitlements"] == result.statuses["entitled_applications"] == status
    assert result.outcomes["entitled_applications"].cause == Task("entitlements", Scope(A, EU))
    assert str(result.outcomes["entitled_applications"].reason).startswith("entitlements: DescribeEntitlements: ")
    assert wire.asked("ListEntitledApplications") == []
    assert result.outcomes["entitlements"].items == 0


@pytest.mark.parametrize(
    "reply",
    [refusal("ThrottlingException"), Reply(b'{"Entitlements": [{"Na'), Reply(drop=True)],
    ids=["throttled", "cut", "dropped"],
)
def test_a_call_that_fails_once_is_made_again_and_nothing_else(
    wire: Wire, service: Service, run: Run, reply: Reply
) -> None:
    service.faults["b"] = [reply]

    result = run(STACKS, ENTITLEMENTS)

    assert result.statuses == {"stacks": "ok", "entitlements": "ok"}
    assert result.rows("entitlements") == [(s, f"{s}-{n}") for s in "abc" for n in (1, 2)]
    assert [c.params["StackName"] for c in wire.asked("DescribeEntitlements")] == ["a", "b", "b", "c"]
    assert count_calls(wire)["DescribeStacks"] == 1


@pytest.mark.parametrize("place", ["a", "b", "c"])
def test_an_item_that_vanished_after_the_list_has_no_rows_and_fails_nothing(
    service: Service, run: Run, place: str
) -> None:
    service.answers[place] = refusal("ResourceNotFoundException", "the stack does not exist")

    result = run(STACKS, ENTITLEMENTS)

    assert result.statuses == {"stacks": "ok", "entitlements": "ok"}
    assert {parent for parent, _ in result.rows("entitlements")} == {"a", "b", "c"} - {place}


@pytest.mark.parametrize(
    ("found", "rows"), [(["a"], "the only row"), (["a", "b", "c"], "all 3 rows")], ids=["one", "three"]
)
def test_items_that_are_all_unknown_to_the_follow_up_are_a_failure_and_no_deletion(
    wire: Wire, service: Service, run: Run, found: list[str], rows: str
) -> None:
    service.stacks = found
    service.answers |= dict.fromkeys(found, refusal("ResourceNotFoundException", "the stack does not exist"))

    result = run(STACKS, ENTITLEMENTS, APPLICATIONS)

    assert result.statuses == {"stacks": "ok", "entitlements": "malformed", "entitled_applications": "malformed"}
    assert result.outcomes["entitlements"].reason == (
        f"DescribeEntitlements: AWS does not know {rows} that stacks has just listed; "
        "check `with` in its contract against AWS's documentation"
    )
    assert len(wire.asked("DescribeEntitlements")) == len(found)


def test_an_item_that_vanishes_between_its_pages_has_no_rows_at_all(service: Service, run: Run) -> None:
    service.faults["b"] = [entitlements("b-1", token="t"), refusal("ResourceNotFoundException")]

    result = run(STACKS, ENTITLEMENTS)

    assert result.statuses["entitlements"] == "ok"
    assert {parent for parent, _ in result.rows("entitlements")} == {"a", "c"}


def test_pages_of_a_follow_up_are_read_to_their_end(wire: Wire, service: Service, run: Run) -> None:
    service.faults["b"] = [entitlements("b-1", token="t"), entitlements("b-2", token="u"), entitlements("b-3")]

    result = run(STACKS, ENTITLEMENTS)

    assert [name for parent, name in result.rows("entitlements") if parent == "b"] == ["b-1", "b-2", "b-3"]
    assert [c.params.get("NextToken") for c in wire.asked("DescribeEntitlements")] == [None, None, "t", "u", None]
    assert [p.number for p in result.pages if p.task.resource == "entitlements"] == [0, 1, 2, 3, 4]


def test_an_expired_page_token_begins_that_item_again_and_no_other(wire: Wire, service: Service, run: Run) -> None:
    service.faults["b"] = [
        entitlements("gone", token="t"),
        refusal("InvalidNextTokenException", "the token expired"),
        entitlements("b-1"),
    ]

    result = run(STACKS, ENTITLEMENTS)

    assert [name for _, name in result.rows("entitlements")] == ["a-1", "a-2", "b-1", "c-1", "c-2"]
    assert [c.params["StackName"] for c in wire.asked("DescribeEntitlements")] == ["a", "b", "b", "b", "c"]


def test_a_page_loop_in_a_follow_up_ends(service: Service, run: Run) -> None:
    service.answers["b"] = entitlements("b-1", token="t")

    result = run(STACKS, ENTITLEMENTS)

    assert result.outcomes["entitlements"].error_code == "PageLoop"


def test_a_parent_that_began_anew_leads_by_its_last_list_only(wire: Wire, service: Service, run: Run) -> None:
    service.faults["DescribeStacks"] = [
        stacks("gone", token="t"),
        refusal("InvalidNextTokenException", "the token expired"),
    ]

    result = run(STACKS, ENTITLEMENTS)

    assert [c.params["StackName"] for c in wire.asked("DescribeEntitlements")] == ["a", "b", "c"]
    assert result.statuses == {"stacks": "ok", "entitlements": "ok"}


@pytest.mark.parametrize(
    ("reply", "status"),
    [(refusal("AccessDeniedException", "no"), "denied"), (Reply(b"{}"), "malformed")],
    ids=["denied", "malformed"],
)
def test_a_parent_that_failed_fails_what_follows_without_a_call(
    wire: Wire, asking: Asking, service: Service, run: Run, reply: Reply, status: str
) -> None:
    asking.extract["max_attempts"] = 1
    service.answers["DescribeStacks"] = reply

    result = run(STACKS, ENTITLEMENTS, APPLICATIONS, FLEETS)

    assert set(result.statuses.values()) == {status}
    assert {o.cause for o in result.outcomes.values()} == {None, Task("stacks", Scope(A, EU))}
    assert set(count_calls(wire)) == {"DescribeStacks"}
    assert {(o.parent_calls, o.api_calls) for n, o in result.outcomes.items() if n != "stacks"} == {(1, 0)}


@pytest.mark.parametrize(("found", "calls"), [(["a"], 1), ([], 0)])
def test_only_where_the_parent_has_rows_is_a_call_made(
    wire: Wire, service: Service, run: Run, found: list[str], calls: int
) -> None:
    service.stacks = found

    result = run(STACKS, FLEETS)

    assert result.statuses == {"stacks": "ok", "fleets": "ok"}
    assert len(wire.asked("DescribeFleets")) == len(result.rows("fleets")) == calls


def test_a_row_of_the_parent_without_a_key_fails_what_follows(wire: Wire, service: Service, run: Run) -> None:
    service.stacks = ["a", {"Arn": "arn"}]

    result = run(STACKS, ENTITLEMENTS, FLEETS)

    assert result.statuses == {"stacks": "ok", "entitlements": "malformed", "fleets": "ok"}
    assert result.outcomes["entitlements"].reason == "stacks: an item has no text in Name"
    assert wire.asked("DescribeEntitlements") == []


def test_a_row_without_another_input_leads_to_no_call_and_equal_rows_to_one(
    wire: Wire, service: Service, run: Run
) -> None:
    by_arn = ENTITLEMENTS.replace('"{name}" }\nlimits', '"{arn}" }\nlimits')
    arn = f"arn:aws:appstream:{EU}:{A}:stack/a"
    service.stacks = [{"Name": "a", "Arn": arn}, {"Name": "a", "Arn": arn}, {"Name": "b"}]

    result = run(STACKS, by_arn)

    assert result.statuses["entitlements"] == "ok"
    assert [c.params for c in wire.asked("DescribeEntitlements")] == [{"StackName": arn}]


def test_more_calls_than_the_limit_fail_the_task_before_the_first(run: Run) -> None:
    result = run(STACKS, ENTITLEMENTS.replace("max_calls_per_s = 1000", "max_calls = 2"))

    outcome = result.outcomes["entitlements"]
    assert (outcome.status, outcome.error_code, outcome.api_calls) == (Status.ERROR, "CallLimit", 0)
    assert outcome.parent_calls == 1  # so that it is not taken for a session that could not be opened
    assert outcome.reason == (
        "DescribeEntitlements: it needs 3 calls or more, and [limits] max_calls of its contract is 2"
    )


def test_calls_keep_their_pace(run: Run) -> None:
    result = run(STACKS, ENTITLEMENTS.replace("max_calls_per_s = 1000", "max_calls_per_s = 20"))

    outcome = result.outcomes["entitlements"]
    assert outcome.status is Status.OK
    assert (outcome.finished_at - outcome.attempted_at).total_seconds() >= 2 / 20


def test_a_part_of_the_parent_leads_to_a_part(service: Service, run: Run) -> None:
    service.answers["DescribeStacks"] = lambda seen: stacks(*seen.params["Names"])

    result = run(STACKS, ENTITLEMENTS, names=("b",))

    assert result.statuses == {"stacks": "filtered", "entitlements": "filtered"}
    assert {parent for parent, _ in result.rows("entitlements")} == {"b"}


def test_an_item_limit_counts_rows_of_the_parent(wire: Wire, run: Run) -> None:
    result = run(STACKS, ENTITLEMENTS, max_items=2)

    assert result.statuses == {"stacks": "filtered", "entitlements": "filtered"}
    assert [c.params["StackName"] for c in wire.asked("DescribeEntitlements")] == ["a", "b"]
    assert result.outcomes["entitlements"].resume_token is None


def test_a_parent_out_of_time_ends_what_follows(asking: Asking, service: Service, run: Run) -> None:
    asking.extract |= {"task_timeout_s": 0.3}
    service.answers["DescribeStacks"] = Reply(b'{"Stacks": []}', delay_s=1.5)

    result = run(STACKS, ENTITLEMENTS)

    assert result.statuses == {"stacks": "timeout", "entitlements": "timeout"}


@pytest.mark.slow
def test_each_follow_up_call_has_its_own_time(asking: Asking, service: Service, run: Run) -> None:
    asking.extract |= {"task_timeout_s": 4}
    service.answers |= {s: Reply(b'{"Entitlements": []}', delay_s=1.5) for s in "abc"}

    assert run(STACKS, ENTITLEMENTS).statuses == {"stacks": "ok", "entitlements": "ok"}
