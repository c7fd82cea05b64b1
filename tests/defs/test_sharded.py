"""The same run over several processes: the same rows, checks and colours; who is lost costs its own part."""

import dagster as dg
import pytest

from tests.defs.exports import as_toml, checks, materialized
from tests.defs.jobs import sharded_job
from tests.export import Export
from tests.factories import image_builder

ACCOUNTS = ("111122223333", "444455556666", "777788889999")
SICK = f"{ACCOUNTS[0]}/eu-west-1"


@pytest.fixture
def in_shards(configured: Export) -> Export:
    """Three accounts, read by three shards one after the other."""
    configured.accounts = ACCOUNTS
    more = '[dagster]\nshards = 4\nexecutor = "in_process"\n'
    (configured.folder / "appstream-export.toml").write_text(as_toml(configured, more))
    return configured


def execute(instance: dg.DagsterInstance, again: dg.ReexecutionOptions | None = None) -> dg.JobExecutionResult:
    return dg.execute_job(dg.reconstructable(sharded_job), instance, reexecution_options=again)


def test_red(in_shards: Export, instance: dg.DagsterInstance) -> None:
    in_shards.aws.put(SICK, image_builder("a"))
    in_shards.aws.fail(SICK, "deny")
    with execute(instance) as red:
        print(red.success, len(materialized(red)), checks(red))
        rows = list(instance.all_logs(red.run_id))
        print(len(rows), [r.message for r in rows if not r.dagster_event])
        print([e.event_type_value for e in red.all_events if e.step_key=="commit" and "ASSET" not in e.event_type_value])
    assert not red.success
    print(in_shards.statuses())
    in_shards.aws.heal()
    in_shards.aws.reset_calls()
    with execute(instance, dg.ReexecutionOptions.from_failure(red.run_id, instance)) as green:
        assert green.success
    assert in_shards.calls() == [SICK]
