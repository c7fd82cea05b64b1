"""Several processes share a sweep: every task in one shard, one commit, and the same rows as one process makes."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import boto3
import msgspec
import pytest

from appstream_export.emulator import Fault
from appstream_export.errors import ConfigurationError
from appstream_export.extract import restore_secrets
from appstream_export.lake.maintenance import vacuum
from appstream_export.lake.maintenance.erase import EraseResult, erase_account
from appstream_export.lake.maintenance.verify import verify_warehouse
from appstream_export.lake.storage import paths
from appstream_export.model import RunListener
from appstream_export.run import Request, RunResult
from appstream_export.run.prepare import PreparedRun
from appstream_export.run.shard_process import run_shard_process
from appstream_export.run.shards import (
    Shard,
    ShardResult,
    commit_shards,
    decode_message,
    encode_message,
    plan_shards,
    split_into_shards,
    sweep_shard,
)
from appstream_export.run.warehouse import open_warehouse
from appstream_export.settings import Secret
from appstream_export.status import Status
from tests.defs.exports import as_toml
from tests.defs.servers import children, wait_until
from tests.export import Export
from tests.factories import image_builder, task
from tests.slices import long_but

pytestmark = pytest.mark.usefixtures("without_checks")

ACCOUNTS = ("111122223333", "444455556666", "777788889999")
SICK, ODD = f"{ACCOUNTS[0]}/eu-west-1", f"{ACCOUNTS[1]}/us-east-1"
HOUR = timedelta(hours=1)
WORKER = "appstream_export.run.shard_worker"
OF_THE_RUN = {"snapshot_id", "run_id", "attempt_id", "request_id", "duration_ms", "digest"}


@pytest.fixture
def shared(export: Export) -> Export:
    """Three accounts with odd items, one of them denied in a region."""
    export.accounts = ACCOUNTS
    export.more = {"warehouse": "shared"}
    for account in ACCOUNTS:
        export.aws.put(f"{account}/eu-west-1", image_builder("a", subnets=["subnet-1", "subnet-2"], Unheard="of"))
    export.aws.put(ODD, image_builder("b", State="UNHEARD"), image_builder("c", CreatedTime="?"))
    export.aws.fail(SICK, "deny")
    return export


def planned(export: Export, count: int = 3, attempt_id: str = "1") -> tuple[PreparedRun, list[Shard]]:
    return plan_shards(
        export.settings,
        export.contracts,
        Request(),
        count,
        run_id="r",
        attempt_id=attempt_id,
        listener=RunListener(),
        stop=Event(),
    )


def finished(export: Export, prepared: PreparedRun, swept: list[ShardResult], again_as: str | None = None) -> RunResult:
    return commit_shards(
        export.settings,
        export.contracts,
        prepared,
        swept,
        retry_attempt_id=again_as,
        listener=RunListener(),
        stop=Event(),
    )


def swept(export: Export, shards: list[Shard]) -> list[ShardResult]:
    """Swept at once, after a way through JSON."""
    contracts, settings = export.contracts, export.settings

    def sweep(shard: Shard) -> ShardResult:
        arrived = decode_message(encode_message(shard), Shard)
        return decode_message(
            encode_message(sweep_shard(settings, contracts, arrived, listener=RunListener(), stop=Event())), ShardResult
        )

    with ThreadPoolExecutor() as pool:
        return list(pool.map(sweep, shards))


def rows(export: Export, tables: list[str]) -> dict[str, list[object]]:
    """Every table of the newest snapshot without what is each run's own: its names, times and durations."""
    found = {}
    for table in tables:
        described = export.sql(f"select column_name, column_type from (describe {table})")
        columns = [name for name, kind in described if name not in OF_THE_RUN and "TIMESTAMP" not in kind]
        found[table] = export.sql(f"select {', '.join(columns)} from {table} order by all")
    return found


def test_a_scope_that_is_none_does_not_come_from_another_process(export: Export) -> None:
    prepared, _ = planned(export)
    [shard] = split_into_shards(prepared, 1)
    raw = encode_message(shard)

    for scope, is_none in ((b'"111122223333",', b'"1111222233334",'), (b'"eu-west-1"', b'"eu-west-1\\n"')):
        damaged = raw.replace(scope, is_none)
        assert damaged != raw
        with pytest.raises(msgspec.ValidationError):
            decode_message(damaged, Shard)


def test_tasks_are_shared_evenly_an_account_stays_whole_and_none_is_left_out(export: Export) -> None:
    prepared, _ = planned(export)
    sizes = {"111111111111": 5, "222222222222": 3, "333333333333": 3, "444444444444": 1}
    asked = tuple(task(f"{account}/eu-west-{n + 1}") for account, size in sizes.items() for n in range(size))
    two, many = (
        split_into_shards(replace(prepared, pending=asked), 2),
        split_into_shards(replace(prepared, pending=asked), 16),
    )

    assert [len(shard.part.pending) for shard in two] == [6, 6]
    assert sorted(t for shard in two for t in shard.part.pending) == sorted(asked)
    assert [{t.scope.account_id for t in shard.part.pending} for shard in many] == [{account} for account in sizes]
    assert split_into_shards(replace(prepared, pending=()), 4) == []


@pytest.mark.slow
def test_shards_leave_the_same_rows_as_one_process_and_ask_for_each_role_once(shared: Export) -> None:
    prepared, shards = planned(shared)
    shared.aws.reset_calls()
    made = finished(shared, prepared, swept(shared, shards))
    roles = [call.operation for call in shared.aws.calls].count("AssumeRole")
    both = rows(shared, sorted(made.manifest.tables))
    store = open_warehouse(shared.settings)
    shared.more = {"warehouse": "alone"}
    alone = shared.run()

    assert (len(shards), roles) == (3, len(ACCOUNTS))
    assert (made.committed, made.exit_code, alone.exit_code) == (True, 3, 3)
    assert both == rows(shared, sorted(alone.manifest.tables))
    assert both["drift"] == [
        ("image_builders", "State", "enum", "UNHEARD", 1),
        ("image_builders", "Unheard", "field", '"of"', 2),
    ]
    assert len(both["quarantine"]) == 1
    assert made.manifest.counts == alone.manifest.counts
    assert verify_warehouse(store).problems == ()


@pytest.mark.slow
def test_shards_share_the_pace_of_sts(shared: Export) -> None:
    """A fiftieth of 50 calls a second: a second apart, as they leave; a busy machine may take in the first one late."""
    shared.accounts = (*ACCOUNTS, "888899990000", "999900001111")
    _, (shard,) = planned(shared, 1)
    shared.aws.reset_calls()
    sweep_shard(shared.settings, shared.contracts, replace(shard, count=50), listener=RunListener(), stop=Event())
    roles = sorted(call.at for call in shared.aws.calls if call.operation == "AssumeRole")

    assert len(roles) == 5
    assert (roles[-1] - roles[0]).total_seconds() > 3


@pytest.mark.slow
def test_a_commit_done_again_finds_itself_and_as_another_attempt_asks_only_what_failed(shared: Export) -> None:
    prepared, shards = planned(shared)
    pieces = swept(shared, shards)
    first, twin = finished(shared, prepared, pieces), finished(shared, prepared, pieces)
    shared.aws.heal()
    shared.aws.reset_calls()
    again = finished(shared, prepared, pieces, again_as="2")

    assert (twin.manifest, twin.committed) == (first.manifest, False)
    assert verify_warehouse(open_warehouse(shared.settings)).problems == ()
    assert (shared.calls(), again.exit_code, again.manifest.seq) == ([SICK], 0, 2)


@pytest.mark.slow
def test_a_commit_that_fails_leaves_the_pieces_for_the_next_try(shared: Export) -> None:
    prepared, shards = planned(shared)
    pieces = swept(shared, shards)
    doubled = replace(pieces[0], outcomes=tuple(replace(o, items=o.items + 1) for o in pieces[0].outcomes))
    with pytest.raises(Exception, match="items, but rows"):
        finished(shared, prepared, [doubled, *pieces[1:]])

    assert finished(shared, prepared, pieces).manifest.seq == 1
    assert verify_warehouse(open_warehouse(shared.settings)).problems == ()


def handed(export: Export, step: str, value: PreparedRun | Shard | ShardResult) -> str:
    """What a step leaves for the next, where Dagster's steps leave it."""
    path = paths.build_handover_path(step, "result")
    with open_warehouse(export.settings).open_output(path) as file:
        file.write(encode_message(value))
    return path


@pytest.mark.slow
def test_an_erase_takes_what_shards_handed_on_once_their_snapshot_is_committed_and_names_it_before(
    shared: Export,
) -> None:
    def erased() -> EraseResult:
        store = open_warehouse(shared.settings)
        return erase_account(store, shared.contracts, ACCOUNTS[2], now=datetime.now(UTC), tool_version="0", grace=HOUR)

    shared.aws.heal()
    prepared, shards = planned(shared)
    done = [handed(shared, f"sweep-{shard.number}", shard) for shard in shards]
    done += [handed(shared, "commit", prepared)]
    finished(shared, prepared, swept(shared, shards))
    is_gone, kept = erased().is_gone, [path for path in done if open_warehouse(shared.settings).exists(path)]
    waiting = handed(shared, "plan", planned(shared, attempt_id="2")[0])
    still = erased()

    assert (is_gone, len(kept)) == (True, 2), "what tells of other accounts alone is none of its business"
    assert (still.is_gone, still.remaining) == (
        False,
        (f"{waiting} (of a sharded run that has not committed: erase again after its commit, or after a day)",),
    )


@pytest.mark.slow
def test_a_shard_that_is_missing_or_of_another_plan_is_a_failure_of_its_tasks_and_keeps_their_rows(
    shared: Export,
) -> None:
    shared.aws.heal()
    shared.run()
    prepared, shards = planned(shared)
    first, second, third = swept(shared, shards)
    made = finished(shared, prepared, [first, replace(second, snapshot_id="01HZZZZZZZZZZZZZZZZZZZZZZZ")])
    of_lost = {str(task.scope) for shard in shards[1:] for task in shard.part.pending}

    assert third.outcomes
    assert {str(outcome.task.scope) for outcome in made.failures} == of_lost
    assert {outcome.error_code for outcome in made.failures} == {"ShardLost"}
    assert shared.sql("select count(*) filter (is_stale), count(*) filter (not is_stale) from image_builders") == [
        (4, 1)
    ]


@pytest.mark.long
def test_what_shards_wrote_is_read_from_a_bucket_too(shared: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=shared.aws.endpoint_url, **keys).create_bucket(Bucket="lake")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", shared.aws.endpoint_url)
    shared.more = {"warehouse": "s3://lake/exports"}
    prepared, shards = planned(shared)

    assert finished(shared, prepared, swept(shared, shards)).manifest.counts["items"] == 4
    assert shared.sql("select account_id, name from image_builders order by all") == [
        (ACCOUNTS[1], "a"), (ACCOUNTS[1], "b"), (ACCOUNTS[1], "c"), (ACCOUNTS[2], "a"),
    ]  # fmt: skip
    assert verify_warehouse(open_warehouse(shared.settings)).problems == ()


def test_no_secret_is_handed_over_and_each_process_finds_it_again(
    shared: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTERNAL_ID", "hunter2-external")
    accounts = [account | {"external_id": "literal-secret"} for account in shared.mapping["accounts"]]
    accounts[0]["external_id"] = "env:EXTERNAL_ID"
    shared.more = {"accounts": accounts}
    prepared, shards = planned(shared)
    pieces = swept(shared, shards)
    handed = b"".join(map(encode_message, (prepared, *shards, *pieces)))
    found = restore_secrets(shards[0].part.accounts, shared.settings) + restore_secrets(
        shards[1].part.accounts, shared.settings
    )

    assert [Secret(a.external_id or "").reveal() for a in found] == ["hunter2-external", "literal-secret"]
    assert {a.external_id for a in shards[0].part.accounts} == {None}
    assert b"secret" not in handed
    assert b"EXTERNAL_ID" not in handed
    assert b"hunter2" not in handed


@pytest.fixture
def by_file(shared: Export, monkeypatch: pytest.MonkeyPatch) -> Export:
    """The same, with a file that children read."""
    file = shared.folder / "appstream-export.toml"
    file.write_text(as_toml(shared))
    monkeypatch.setenv("APPSTREAM_EXPORT_CONFIG", str(file))
    shared.more = {}
    return shared


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "how"),
    long_but([(signal.SIGKILL, "SIGKILL (out of memory?)"), (signal.SIGTERM, "SIGTERM")], signal.SIGKILL),
)
def test_a_child_that_somebody_ends_fails_its_tasks_and_says_how_it_died(
    signum: signal.Signals, how: str, by_file: Export
) -> None:
    by_file.aws.heal()
    by_file.aws.fail(SICK, Fault("slow", delay_s=60))
    _, (shard, *_) = planned(by_file)
    by_file.aws.reset_calls()
    with ThreadPoolExecutor() as pool:
        told = pool.submit(run_shard_process, by_file.settings, shard)
        wait_until(lambda: by_file.calls() == sorted(str(t.scope) for t in shard.part.pending), "all are asked")
        (worker,) = children(os.getpid(), WORKER)
        os.kill(worker, signum)
        found = told.result(timeout=120)

    assert [outcome.status for outcome in found.outcomes] == [Status.ERROR] * len(shard.part.pending)
    assert found.outcomes[0].reason == f"shard 1 of 3 was lost: its process was ended by {how}"
    assert found.files == {}
    assert vacuum.find_garbage(open_warehouse(by_file.settings), found.outcomes[0].finished_at, vacuum.GRACE).due == []


@pytest.mark.slow
def test_a_child_that_takes_too_long_is_ended_and_fails_its_tasks(by_file: Export) -> None:
    by_file.aws.heal()
    by_file.aws.fail(SICK, Fault("slow", delay_s=60))
    _, (shard, *_) = planned(by_file)
    by_file.more = {"extract": {"run_timeout_s": 4}}
    found = run_shard_process(by_file.settings, shard, grace_s=1)

    assert {outcome.reason for outcome in found.outcomes} == {
        "shard 1 of 3 was lost: it was not finished 5 s after its start"
    }
    assert children(os.getpid(), WORKER) == []


@pytest.mark.slow
def test_a_child_tells_what_the_user_must_change(by_file: Export) -> None:
    _, (shard, *_) = planned(by_file)
    nobody = tuple(replace(account, profile="nobody") for account in shard.part.accounts)

    with pytest.raises(ConfigurationError, match='profile "nobody" is not in the AWS config'):
        run_shard_process(by_file.settings, replace(shard, part=replace(shard.part, accounts=nobody)))


@pytest.mark.slow
def test_what_a_child_reports_has_its_fix_apart_from_its_message(by_file: Export) -> None:
    _, (shard, *_) = planned(by_file)
    token = replace(shard.part.request.scan_options, starting_token="t")
    part = replace(shard.part, request=replace(shard.part.request, scan_options=token))

    with pytest.raises(ConfigurationError) as raised:
        run_shard_process(by_file.settings, replace(shard, part=part))
    assert raised.value.fix == "choose one account and region"
    assert "choose one account" not in raised.value.message
