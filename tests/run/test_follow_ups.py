"""Follow-up calls in whole runs: rows are replaced and deleted by complete answers only."""

from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from signal import SIGKILL
from threading import Event

import pytest

from appstream_export.contracts import Contract, load_contract, load_contracts
from appstream_export.lake.catalog import connect_warehouse
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.snapshots.task_transitions import GUARD_MIN_DROP
from appstream_export.preflight import estimate_run
from appstream_export.run import Request, RunResult, execute_run
from appstream_export.settings import Settings, parse_settings
from tests.extract.asking import EU, A
from tests.extract.test_follow_ups import APPLICATIONS, ENTITLEMENTS, FLEETS, STACKS, Service, entitlements
from tests.extract.wire import Reply, Seen, Wire, page, refusal


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A raw AWS."""
    with Wire() as running:
        yield running


class Estate:
    """A warehouse of builders, stacks and what follows from them, in one scope of a raw AWS."""

    def __init__(self, wire: Wire, folder: Path) -> None:
        self.wire, self.folder, self.service = wire, folder, Service()
        wire.always(f"{A}/{EU}", self.answer)
        self.contracts = [*load_contracts(), *map(self.write_contract, (STACKS, ENTITLEMENTS, FLEETS))]

    def write_contract(self, text: str) -> Contract:
        file = self.folder / f"{text.partition(chr(10) + '[')[2].partition(']')[0]}.toml"
        file.write_text(text)
        return load_contract(file)

    def answer(self, seen: Seen) -> Reply:
        return page("builder") if seen.operation == "DescribeImageBuilders" else self.service.reply(seen)

    @property
    def settings(self) -> Settings:
        return self.build_settings(self.wire.url)

    def build_settings(self, url: str) -> Settings:
        mapping = {
            "warehouse": "warehouse",
            "regions": [EU],
            "accounts": [{"id": A, "role_arn": f"arn:aws:iam::{A}:role/reader"}],
            "aws": {"endpoint_url": url},
            "extract": {"max_attempts": 1},
            "feeds": {"publish": False, "report": False},
        }
        return parse_settings(mapping, self.folder / "appstream-export.toml")

    def run(self, *, retry_failed: bool = False) -> RunResult:
        self.wire.calls.clear()
        return execute_run(self.settings, self.contracts, Request(retry_failed=retry_failed))

    def sql(self, text: str) -> list[tuple[object, ...]]:
        rows = run_query(connect_warehouse(self.settings.warehouse), text).to_pylist()
        return [tuple(row.values()) for row in rows]

    def names(self) -> str:
        return " ".join(str(name) for (name,) in self.sql("select name from entitlements order by 1"))

    def statuses(self) -> dict[object, object]:
        return dict(self.sql("select resource, status from scope_runs"))  # ty: ignore[no-matching-overload]

    def changes(self) -> list[tuple[object, ...]]:
        return self.sql("select stack_name, name, change from entitlement_changes order by all")

    def operations(self) -> list[str]:
        return sorted(c.operation for c in self.wire.calls if c.service == "appstream")


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_rows_of_follow_ups_are_replaced_and_deleted_by_complete_answers_only(wire: Wire, tmp_path: Path) -> None:
    estate = Estate(wire, tmp_path)
    first = estate.run()

    assert (first.exit_code, estate.names()) == (0, "a-1 a-2 b-1 b-2 c-1 c-2")

    estate.service.stacks = ["b", "c"]
    estate.service.answers["c"] = refusal("AccessDeniedException")
    second = estate.run()

    # The list of stacks counts, but entitlements are unknown: also those of the stack that is gone remain.
    assert second.exit_code == 3
    assert estate.statuses() == {"image_builders": "ok", "stacks": "ok", "entitlements": "denied", "fleets": "ok"}
    assert estate.names() == "a-1 a-2 b-1 b-2 c-1 c-2"
    assert estate.sql("select distinct is_stale from entitlements") == [(True,)]
    assert [row for row in estate.changes() if row[2] != "first_seen"] == []
    assert estate.sql("select name from stacks order by 1") == [("b",), ("c",)]

    estate.service.answers["c"] = refusal("ResourceNotFoundException")
    third = estate.run(retry_failed=True)

    assert third.exit_code == 0
    assert estate.operations() == ["DescribeEntitlements", "DescribeEntitlements", "DescribeStacks"]
    assert estate.names() == "b-1 b-2"
    assert [row for row in estate.changes() if row[2] == "deleted"] == [
        (stack, f"{stack}-{n}", "deleted") for stack in "ac" for n in (1, 2)
    ]


@pytest.mark.slow
def test_a_plan_counts_follow_ups_and_a_parent_that_fails_leaves_them_as_they_were(wire: Wire, tmp_path: Path) -> None:
    estate = Estate(wire, tmp_path)
    estate.run()
    later = [*estate.contracts, estate.write_contract(APPLICATIONS)]
    estimates = [estimate_run(estate.settings, some, Request()).cost for some in (estate.contracts, later)]

    # One for builders, stacks and fleets each, one per stack; entitled applications: one per entitlement.
    assert [cost.task_calls for cost in estimates] == [6, 12]
    assert estimates[1].known_tasks == 5

    estate.service.answers["DescribeStacks"] = Reply(b'{"Stacks": [')

    result = estate.run()

    assert result.exit_code == 3
    assert estate.statuses() == dict.fromkeys(("stacks", "entitlements", "fleets"), "malformed") | {
        "image_builders": "ok"
    }
    assert estate.operations() == ["DescribeImageBuilders", "DescribeStacks"]
    assert estate.names() == "a-1 a-2 b-1 b-2 c-1 c-2"
    assert [row for row in estate.changes() if row[2] != "first_seen"] == []

    estate.service.answers.clear()
    assert estate.run(retry_failed=True).exit_code == 0
    assert estate.sql("select distinct is_stale from entitlements") == [(False,)]


@pytest.mark.slow
def test_a_commit_that_guards_a_list_carries_what_follows_from_it(wire: Wire, tmp_path: Path) -> None:
    estate = Estate(wire, tmp_path)
    estate.service.stacks = ["a", *(f"s{n}" for n in range(2 * GUARD_MIN_DROP))]
    estate.service.answers = {name: entitlements() for name in estate.service.stacks[1:]}  # too few for a guard
    estate.run()
    before = estate.names()
    estate.service.stacks = []

    estate.run()

    assert (estate.statuses()["stacks"], estate.statuses()["entitlements"]) == ("guarded", "guarded")
    assert estate.names() == before == "a-1 a-2"
    assert [row for row in estate.changes() if row[2] != "first_seen"] == []


def run_again(url: str, folder: Path) -> None:
    """A run in a process of its own, on the contracts in the folder."""
    estate = Estate.__new__(Estate)
    estate.folder = folder
    contracts = [
        *load_contracts(),
        *(load_contract(folder / f"{n}.toml") for n in ("stacks", "entitlements", "fleets")),
    ]
    execute_run(estate.build_settings(url), contracts, Request())


@pytest.mark.slow
def test_a_run_killed_between_two_follow_up_calls_leaves_no_trace(wire: Wire, tmp_path: Path) -> None:
    estate = Estate(wire, tmp_path)
    estate.run()
    estate.service.stacks = ["b", "c"]
    is_at_c = Event()
    go_on = Event()

    def hold(_: Seen) -> Reply:
        is_at_c.set()
        go_on.wait(60)
        return Reply(drop=True)

    estate.service.answers["c"] = hold
    process = get_context("spawn").Process(target=run_again, args=(wire.url, tmp_path))
    process.start()
    assert is_at_c.wait(120)
    process.kill()
    process.join()
    go_on.set()

    assert process.exitcode == -SIGKILL
    assert estate.names() == "a-1 a-2 b-1 b-2 c-1 c-2"
    assert estate.sql("select name from stacks order by 1") == [("a",), ("b",), ("c",)]

    estate.service.answers.clear()
    assert estate.run().exit_code == 0
    assert estate.names() == "b-1 b-2 c-1 c-2"
    assert [row[2] for row in estate.changes() if row[2] != "first_seen"] == ["deleted", "deleted"]
