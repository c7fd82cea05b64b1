"""Whoever asks how a run went hears the same: exit code, summary, Dagster, `scope_runs` and `snapshots`."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from appstream_export.cli.main import main
from appstream_export.emulator import Emulator
from appstream_export.feeds import publish_feeds
from appstream_export.run import load_run_result
from appstream_export.settings import FeedsSettings, Settings
from tests.defs.jobs import rebuilt, snapshot_job
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder
from tests.lake.lakes import A, Lake, builder, ok

WELL = "123456789012"  # the account whose credentials stand in before an emulator lists the organization
SICK, CLOSED, HALF, ASLEEP, GONE = (f"{n}" * 12 for n in range(1, 6))
NAMES = {WELL: "well", SICK: "sick", CLOSED: "closed", HALF: "half", ASLEEP: "asleep", GONE: "gone"}
EU, MILAN = "eu-west-1", "eu-south-1"
MANY = 60  # more than the guard lets go at once


@pytest.fixture
def export(aws: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Six accounts in two regions, of which one scope each fails, is expected to be closed, sleeps, and has left."""
    made = Export(aws, tmp_path)
    made.regions, made.more = (EU, MILAN), {"accounts": [], "organization": {"role_name": "reader"}}
    aws.create_organization(NAMES)
    for account in (WELL, SICK, ASLEEP):
        aws.put(f"{account}/{EU}", image_builder("a"))
    aws.put(f"{GONE}/{EU}", *(image_builder(f"b{n}") for n in range(MANY)))
    aws.disable_region(HALF, MILAN)
    assert made.run().exit_code == 0
    aws.fail(f"{SICK}/{EU}", "deny")
    aws.fail(f"{CLOSED}/*", "deny_scp")
    aws.set_account_state(ASLEEP, "SUSPENDED")
    aws.leave_organization(GONE)
    file = tmp_path / "appstream-export.toml"
    file.write_text(
        f'regions = ["{EU}", "{MILAN}"]\nfeeds = {{ publish = false, report = false }}\n'
        f'[organization]\nrole_name = "reader"\n'
        f'[aws]\nendpoint_url = "{aws.endpoint_url}"\n[extract]\nmax_attempts = 1\n'
    )
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    return made


def command(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, Any]:
    code = main(["run", "--json", *flags])
    return code, json.loads(capsys.readouterr().out)


def snapshot(export: Export) -> dict[str, int]:
    names = ("total", "ok", "failed", "skipped", "expected")
    columns = ", ".join(f"tasks_{name}" for name in names)
    return dict(zip(names, export.sql(f"select {columns} from snapshots order by seq desc limit 1")[0], strict=True))


def rows(export: Export) -> dict[str, int]:
    found = export.sql("select status, is_expected from scope_runs")
    kinds = Counter(
        "ok" if status == "ok" else "skipped" if status == "skipped" else "expected" if is_expected else "failed"
        for status, is_expected in found
    )
    return {"total": len(found), **kinds}


TRUTH = {"total": 11, "ok": 4, "failed": 2, "skipped": 2, "expected": 3}
FAILED = {(SICK, "denied"), (GONE, "guarded")}


@pytest.mark.slow
@pytest.mark.usefixtures("without_checks")
def test_command_and_tables_count_the_same(export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = command(capsys)
    assert (code, told["exit_code"]) == (3, 3)
    assert {(failure["account_id"], failure["status"]) for failure in told["failures"]} == FAILED
    assert {kind: told[f"tasks_{kind}"] for kind in TRUTH} == snapshot(export) == rows(export) == TRUTH


@pytest.mark.slow
def test_dagster_and_tables_count_the_same(export: Export) -> None:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.execute_job(rebuilt(snapshot_job), instance, raise_on_error=False) as result,
    ):
        assert not result.success
        (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "coverage"]
    said = {kind: check.metadata[kind].value for kind in ("requested", "answered", "failed", "expected", "skipped")}
    assert said == {"requested": 11, "answered": 4, "failed": 2, "expected": 3, "skipped": 2}
    assert snapshot(export) == rows(export) == TRUTH


@pytest.mark.slow
def test_a_scope_that_the_guard_keeps_is_a_failure_until_it_is_let_go(
    export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    command(capsys)
    export.aws.heal()
    retried, _ = command(capsys, "--retry-failed")
    again, left = command(capsys, "--retry-failed")
    assert main(["run", "--retry-failed"]) == 3
    said = capsys.readouterr().out
    assert ("retry failures" in said, "appstream-export run --accept-drop\n" in said) == (False, True)
    forced, done = command(capsys, "--accept-drop")

    assert (retried, again, left["committed"]) == (3, 3, False)
    assert [(failure["account_id"], failure["status"]) for failure in left["failures"]] == [(GONE, "guarded")]
    assert (forced, done["failures"], done["changes"]["ended"]) == (0, [], MANY)


@pytest.mark.slow
def test_another_attempt_of_a_run_does_not_call_a_guarded_scope_seen(export: Export) -> None:
    export.aws.heal()
    first = export.run(run_id="night", attempt_id="1")
    same = export.run(run_id="night", attempt_id="1")
    second = export.run(run_id="night", attempt_id="2")

    assert [(r.exit_code, r.committed) for r in (first, same, second)] == [(3, True), (3, False), (3, False)]
    assert [[str(o.task.scope) for o in r.failures] for r in (first, same, second)] == [[f"{GONE}/{EU}"]] * 3


@pytest.mark.slow
def test_later_steps_of_a_limited_run_count_a_guarded_scope_as_the_run_itself_does(
    aws: Emulator, tmp_path: Path
) -> None:
    made, (guarded, other) = Export(aws, tmp_path), ACCOUNTS
    made.regions = (EU,)
    aws.put(f"{guarded}/{EU}", *(image_builder(f"b{n}") for n in range(MANY)))
    aws.put(f"{other}/{EU}", image_builder("a"))
    made.run()
    aws.remove(f"{guarded}/{EU}", *(f"b{n}" for n in range(1, MANY)))
    assert made.run().exit_code == 3
    still_covered = count_failures(made, "limited", other)
    made.accounts = (other,)
    has_left = count_failures(made, "after it has left", other)

    assert still_covered == [(0, 0), (0, 0)], "the run did not request it"
    assert has_left == [(3, 1), (3, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("behind", ["v1", "v2"])
@pytest.mark.parametrize("how", ["older", "missing"])
def test_feeds_of_one_version_that_are_behind_or_missing_are_a_problem(how: str, behind: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "warehouse")
    lake.commit(ok(A, builder("a")))
    publish_feeds(lake.store, lake.contracts)
    earlier = shutil.copytree(tmp_path / f"warehouse/feeds/{behind}", tmp_path / "earlier", symlinks=True)
    lake.commit(ok(A, builder("b")))
    publish_feeds(lake.store, lake.contracts)
    settings = Settings(warehouse=str(tmp_path / "warehouse"))
    left = FeedsSettings(versions=("v2" if behind == "v1" else "v1",))
    assert load_run_result(settings, lake.contracts).feeds_problem is None
    shutil.rmtree(tmp_path / f"warehouse/feeds/{behind}")
    if how == "older":
        shutil.copytree(earlier, tmp_path / f"warehouse/feeds/{behind}", symlinks=True)

    assert "generation of feeds shows an older one" in (load_run_result(settings, lake.contracts).feeds_problem or "")
    alone = load_run_result(msgspec.structs.replace(settings, feeds=left), lake.contracts)
    assert alone.feeds_problem is None, "a version that the settings leave out is of no matter"


def count_failures(export: Export, run_id: str, account: str) -> list[tuple[int, int]]:
    """Exit code and failures of a run limited to that account: as it ends, and as other processes load it."""
    own = export.run(run_id=run_id, attempt_id=run_id, accounts=(account,))
    loaded = load_run_result(export.settings, export.contracts, run_id=run_id)
    return [(result.exit_code, len(result.failures)) for result in (own, loaded)]
