"""The same run over several processes: the same assets, checks and colours; who is lost costs its own part."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import requires
from pathlib import Path

import dagster as dg
import pytest

from appstream_export.defs.sharded import resolve_executor
from appstream_export.emulator import Fault
from appstream_export.errors import SettingsError
from appstream_export.lake.maintenance import vacuum
from appstream_export.run.warehouse import open_warehouse
from appstream_export.settings import DagsterSettings, Settings
from tests.defs.exports import as_toml, checks, materialized, stopping_in_bucket
from tests.defs.jobs import rebuilt, sharded_job, snapshot_job
from tests.defs.servers import ROOT, children, wait_until
from tests.export import ACCOUNTS, Export
from tests.factories import image_builder

WORKER = "appstream_export.run.shard_worker"
DISTRIBUTED = next(
    need.partition(";")[0] for need in requires("appstream-export") or [] if need.startswith("distributed")
)
SICK = f"{ACCOUNTS[0]}/eu-west-1"
ROWS = "select account_id, region, name, state, is_stale from image_builders order by all"


def test_an_executor_that_is_not_installed_is_refused_with_what_to_install() -> None:
    with pytest.raises(
        SettingsError, match=r'executor = "kubernetes": dagster_k8s is missing; .*(install|add) dagster-k8s'
    ):
        resolve_executor(Settings(dagster=DagsterSettings(executor="kubernetes")))


@pytest.fixture
def in_shards(configured: Export) -> Export:
    """Two accounts, read by two shards one after the other."""
    within(configured, "in_process")
    return configured


def execute(
    instance: dg.DagsterInstance, again: dg.ReexecutionOptions | None = None, job: object = sharded_job
) -> dg.JobExecutionResult:
    return dg.execute_job(rebuilt(job), instance, reexecution_options=again)


@pytest.mark.long
def test_it_makes_what_the_job_of_one_process_makes_and_is_as_red_and_as_green(
    in_shards: Export, instance: dg.DagsterInstance
) -> None:
    in_shards.aws.put(SICK, image_builder("a", State="RUNNING"))
    with execute(instance, job=snapshot_job) as single:
        alone, told, rows = materialized(single), checks(single), in_shards.sql(ROWS)
    with execute(instance) as sharded:
        assert sharded.success
        assert (materialized(sharded), checks(sharded), in_shards.sql(ROWS)) == (alone, told, rows)
        logged = instance.all_logs(sharded.run_id)
    in_shards.aws.fail(SICK, "deny")
    with execute(instance) as red:
        assert not red.success
        assert (materialized(red), checks(red)["coverage"]) == (alone, False)
    in_shards.aws.heal()
    in_shards.aws.reset_calls()
    with execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance)) as green:
        assert green.success
    check = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [dg.AssetCheckKey(dg.AssetKey("scope_runs"), "coverage")]
    )

    assert in_shards.calls() == [SICK]
    assert len(logged) <= 120
    assert [record.run_id for record in check.values()] == [green.run_id]
    handed = {
        str(file.relative_to(in_shards.warehouse)) for file in Path(in_shards.warehouse, "handed").rglob("*.json")
    }
    due = vacuum.find_garbage(
        open_warehouse(in_shards.settings), datetime.now(UTC) + timedelta(days=2), vacuum.GRACE
    ).due
    assert len(handed) == 10, "of two runs a plan, two shards, and what they swept"
    assert handed <= {stored.path for stored in due}


@pytest.mark.slow
def test_what_another_job_publishes_has_no_check_here_either(configured: Export, instance: dg.DagsterInstance) -> None:
    within(configured, "in_process", "[feeds]\npublish = false\nreport = false\n")
    with execute(instance, job=snapshot_job) as single, execute(instance) as sharded:
        assert (materialized(sharded), checks(sharded)) == (materialized(single), checks(single))
        assert "report_is_written" not in checks(sharded)


@pytest.mark.long
@pytest.mark.parametrize("by", ["multiprocess", "dask"])
def test_a_worker_that_is_killed_costs_its_shard_alone(
    by: str, configured: Export, stored_instance: dg.DagsterInstance, home: Path
) -> None:
    """First the process that asks: a red snapshot. Then Dagster's own, or Dask's: the step is done by another one."""
    if by == "dask" and subprocess.run([*python(by), "-c", "import distributed"], cwd=ROOT, check=False).returncode:
        pytest.skip(f"{DISTRIBUTED} cannot be installed here")
    within(configured, by)
    for account in ACCOUNTS:
        configured.aws.put(f"{account}/us-east-1", image_builder("a"))
    configured.run()
    lost = run_and_kill(by, configured, home, lambda worker: worker)
    red = configured.statuses()
    again = command(by, ["--config", str(retry(home))])
    configured.aws.heal()
    configured.aws.reset_calls()
    mended = subprocess.run(again, cwd=ROOT, env=environ(home), capture_output=True, check=False)
    asked = configured.calls()
    whole = run_and_kill(by, configured, home, parent_of)

    assert lost != 0
    assert [status for scope, status in red.items() if scope.startswith(ACCOUNTS[0])] == ["error", "error"]
    assert [status for scope, status in red.items() if scope.startswith(ACCOUNTS[1])] == ["ok", "ok"]
    assert (mended.returncode, asked) == (0, [f"{ACCOUNTS[0]}/{region}" for region in configured.regions])
    assert whole == 0
    assert set(configured.statuses().values()) == {"ok"}
    assert [row[0] for row in configured.sql("select tasks_failed, seq from snapshots order by seq")] == [0, 2, 0, 0]
    assert configured.sql("select count(*) from image_builders where not is_stale") == [2]
    assert {run.job_name for run in stored_instance.get_runs()} == {"snapshot_sharded"}


STRANGER = """
import asyncio
from distributed import Client
from distributed.comm import connect
from appstream_export.defs.dask_executor import DaskStepHandler

async def knock(address):
    comm = await connect(address, timeout=20)
    await comm.write({"op": "identity", "reply": True})
    return await comm.read()

if __name__ == "__main__":
    steps = DaskStepHandler(None, 1)
    steps._client = client = steps._connect_client()
    address = client.scheduler.address
    print(address.partition(":")[0], client.submit(sum, [40, 2]).result(timeout=60))
    try:
        print("open:", asyncio.run(knock(address.replace("tls:", "tcp:"))))
    except OSError:
        print("closed")
    steps.close()
"""


@pytest.mark.slow
def test_a_cluster_of_this_machine_works_for_who_made_it_and_answers_no_one_else(tmp_path: Path) -> None:
    if subprocess.run([*python("dask"), "-c", "import distributed"], cwd=ROOT, check=False).returncode:
        pytest.skip(f"{DISTRIBUTED} cannot be installed here")
    script = tmp_path / "stranger.py"
    script.write_text(STRANGER)
    done = subprocess.run([*python("dask"), str(script)], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split("\n") == ["tls 42", "closed", ""]


def within(export: Export, by: str, feeds: str = "") -> None:
    """Two shards, by this executor; a scope may take longer than a test."""
    more = f'{feeds}[dagster]\nshards = 2\nexecutor = "{by}"\n'
    (export.folder / "appstream-export.toml").write_text(as_toml(export, more))


def retry(home: Path) -> Path:
    """A run's configuration: only what failed."""
    file = home / "retry.yaml"
    file.write_text("ops: {plan: {config: {retry_failed: true}}}\n")
    return file


def environ(home: Path) -> dict[str, str]:
    return os.environ | {"DAGSTER_HOME": str(home)}


def command(by: str, more: Sequence[str] = ()) -> list[str]:
    """The job from a shell."""
    return [
        *python(by),
        "-m",
        "dagster",
        "job",
        "execute",
        "-m",
        "appstream_export.definitions",
        "-j",
        "snapshot_sharded",
        *more,
    ]


def python(by: str) -> list[str]:
    """What Dask needs is laid over this environment by uv."""
    return ["uv", "run", "--quiet", "--no-sync", "--with", DISTRIBUTED, "python"] if by == "dask" else [sys.executable]


def run_and_kill(by: str, export: Export, home: Path, victim: Callable[[int], int]) -> int:
    """The exit code of a run in which a process dies in mid-sweep; it is the shard of the first account."""
    export.aws.fail(f"{ACCOUNTS[0]}/{export.regions[0]}", Fault("slow", delay_s=20))
    export.aws.reset_calls()
    with (home / "run.log").open("ab") as log:
        process = subprocess.Popen(command(by), cwd=ROOT, env=environ(home), stdout=log, stderr=log)
        wait_until(lambda: len(export.calls()) == len(ACCOUNTS) * len(export.regions), f"all asked: {home / 'run.log'}")
        wait_until(lambda: len(children(process.pid, WORKER)) == 1, "the other shard ends")
        (worker,) = children(process.pid, WORKER)
        os.kill(victim(worker), signal.SIGKILL)
        export.aws.heal()
        wait_until(lambda: not is_alive(worker), "who asks ends with its step", within_s=20)
        return process.wait(180)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["commit", "sweep"])
def test_a_stop_lets_a_commit_of_shards_come_to_its_end_and_before_it_commits_nothing(
    moment: str, in_shards: Export, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_shards.aws.put(SICK, image_builder("a"))
    with stopping_in_bucket(in_shards, moment, monkeypatch) as (wire, stopped):
        with execute(instance) as result:
            run = instance.get_run_by_id(result.run_id)
            made = materialized(result)
        committed = [seen.key for seen in wire.seen if seen.method == "PUT" and "/commits/0" in seen.key]

    assert (len(stopped), children(os.getpid(), WORKER)) == (1, [])
    if moment == "commit":
        assert {"scope_runs", "image_builders", "snapshots"} <= made
        assert "report" not in made
        assert not result.success
    else:
        assert (result.success, made, committed) == (False, set(), [])
        assert run is not None
        assert run.status is not dg.DagsterRunStatus.SUCCESS
