"""A small slice of each proof on every run of the tests; the whole: `uv run python -m benchmarks.proofs`."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.children import Unreachable
from benchmarks.findings import Findings
from benchmarks.proofs import (
    __main__ as command,
    connect,
    dead_regions,
    engines,
    faults,
    feeds,
    isolation,
    scale,
    storm,
    week,
)
from benchmarks.warehouse import Seen, foreign, mismatches
from benchmarks.world import World, account_id

SCOPE = (account_id(0), "us-east-1")
NOW, BEFORE = World(generation=1), World(generation=0)

# They wait more than they work, and each starts processes: one after the other on one worker, beside the other tests.
pytestmark = pytest.mark.slow


@pytest.mark.long
def test_many_scopes_take_few_connections_and_one_role_session_each_and_only_denied_ones_are_stale(
    tmp_path: Path,
) -> None:
    size = scale.Size(accounts=12, regions=4, workers=8, latency_ms=(2, 4), denied=0.1, is_timed=False)

    assert scale.prove(size, tmp_path).broken == []


def test_a_dead_region_takes_one_short_try_per_account_and_fails_alone(tmp_path: Path) -> None:
    dead = {"one refuses": {"eu-west-2": "refused"}}
    size = dead_regions.Size(accounts=8, workers=8, latency_ms=(2, 4), dead=dead, is_timed=False)

    assert dead_regions.prove(size, tmp_path).broken == []


def test_whatever_goes_wrong_ok_scopes_are_the_truth_and_the_others_keep_their_rows(tmp_path: Path) -> None:
    few = faults.Size(accounts=3, regions=3, items=4, attempts=2, rates=(0.25,), seeds=(1,))

    assert faults.prove(replace(few, kinds=("mixed",)), tmp_path).broken == []


@pytest.mark.long
def test_no_builder_lands_under_a_foreign_account_and_a_wrong_profile_deletes_nothing(tmp_path: Path) -> None:
    size = isolation.Size(accounts=6, regions=4, items=4, page_size=2, workers=24, rounds=1)

    assert isolation.prove(size, tmp_path).broken == []


def test_all_scopes_land_under_throttling_with_the_rows_of_a_plain_script(tmp_path: Path) -> None:
    size = storm.Size(
        accounts=4, regions=3, items=6, workers=4, calls_per_s=4, rivals=("standard",), rounds=1, is_timed=False
    )

    found = storm.prove(size, tmp_path)

    assert found.broken == []
    assert str(found.tables[0]).count("| equal ") == 2


@pytest.mark.long
def test_readers_that_join_feeds_while_others_are_published_meet_no_error_and_no_mixed_answer(tmp_path: Path) -> None:
    size = feeds.Size(publications=4, builders=60, readers=("pyarrow v1", "bi v2"))

    assert feeds.prove(size, tmp_path).broken == []


def test_every_channel_reports_the_faults_of_a_day_and_nothing_else(tmp_path: Path) -> None:
    assert week.prove(week.QUICK, tmp_path).broken == []


@pytest.mark.long
def test_every_channel_reports_the_faults_of_a_week_and_nothing_else(tmp_path: Path) -> None:
    assert week.prove(week.FULL, tmp_path).broken == []


@pytest.mark.long
def test_tools_that_are_here_anyway_read_the_feeds(tmp_path: Path) -> None:
    size = connect.Size(tools={"csv": (), "pyarrow": (), "DuckDB": ()}, is_isolated=False)

    assert connect.prove(size, tmp_path).broken == []


def answer(world: World, status: str = "ok") -> Seen:
    is_ok = status == "ok"
    rows = world.truth(*SCOPE)
    return Seen(status, None if is_ok else "why", is_stale=not is_ok, throttles=0, api_calls=1, rows=rows)


@pytest.mark.long
def test_a_proof_sees_old_rows_called_ok_and_new_rows_of_a_scope_that_failed() -> None:
    assert mismatches({SCOPE: answer(NOW)}, NOW, BEFORE) == []
    assert mismatches({SCOPE: answer(BEFORE, "denied")}, NOW, BEFORE) == []
    assert len(mismatches({SCOPE: answer(BEFORE)}, NOW, BEFORE)) == 1
    assert len(mismatches({SCOPE: answer(NOW, "denied")}, NOW, BEFORE)) == 1


@pytest.mark.long
def test_the_oldest_and_the_newest_duckdb_read_each_others_catalogs(tmp_path: Path) -> None:
    try:
        assert engines.prove(engines.QUICK, tmp_path).broken == []
    except Unreachable as why:
        pytest.skip(f"no environment with another DuckDB: {why}")


@pytest.mark.long
def test_a_proof_sees_a_lost_row_a_repeated_one_and_a_failure_that_is_not_flagged() -> None:
    lost, repeated, fresh = answer(NOW), answer(NOW), answer(BEFORE, "denied")
    lost.rows.pop()
    repeated.rows.append(repeated.rows[-1])
    fresh.is_stale = False

    assert [len(mismatches({SCOPE: seen}, NOW, BEFORE)) for seen in (lost, repeated, fresh)] == [1, 1, 1]


@pytest.mark.long
def test_a_proof_sees_builders_of_another_account() -> None:
    elsewhere = (account_id(1), "us-east-1")

    assert foreign({SCOPE: answer(NOW)}) == 0
    assert foreign({elsewhere: answer(NOW)}) == NOW.items


@pytest.mark.long
def test_the_command_ends_with_1_when_a_promise_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(size: int, folder: Path) -> Findings:
        found = Findings(f"Size {size}")
        found.promise(not folder.is_dir(), "the folder is there")
        return found

    monkeypatch.setattr(command, "PROOFS", {"it": SimpleNamespace(prove=broken, FULL=2, QUICK=1)})

    assert command.main(["--quick"]) == 1
    assert "BROKEN Size 1: the folder is there" in capsys.readouterr().out
