-- export_runs: One row per run that committed, including expired snapshots. A run that committed nothing has no row.
-- reads: snapshots
-- seq bigint: Position in the history.
-- snapshot_id varchar: Snapshot that the run committed: a ULID.
-- run_id varchar: Identifies the run; its repeated attempts share it.
-- started_at timestamptz: Start of the run.
-- committed_at timestamptz: When the snapshot was committed.
-- duration_s double: From started_at to committed_at, in seconds.
-- hours_since_previous double: Hours from the previous commit to this one; null for the first.
-- outcome varchar: complete (none failed; tasks_skipped counts what was never requested), partial (some failed), blind
--   (none answered) or last_known (the accounts could not be discovered).
-- tasks_total bigint: Tasks in the snapshot, requested or not.
-- tasks_asked bigint: Tasks requested by this run.
-- tasks_ok bigint: Tasks whose newest attempt is ok or filtered.
-- tasks_failed bigint: Tasks whose newest attempt failed, without expected failures.
-- tasks_skipped bigint: Tasks skipped, such as those of suspended accounts.
-- tasks_expected bigint: Tasks whose newest attempt failed as expected.
-- failed_ratio double: tasks_failed / (tasks_ok + tasks_failed); 0 if there are none.
-- items bigint: Items in the snapshot, over all resources.
-- items_fresh bigint: Items written by this run.
-- items_carried bigint: Items carried from the previous snapshot.
-- changes bigint: Changes that the run found.
-- forced boolean: Whether --accept-drop was given: a large drop in items was accepted.
-- tool_version varchar: Version of appstream-export.
with runs as (
    select
        *,
        lag(committed_at) over (order by seq) as previous_at
    from snapshots
    where kind = 'sweep'
)

select
    seq,
    snapshot_id,
    run_id,
    started_at,
    committed_at,
    round(epoch(committed_at) - epoch(started_at), 3) as duration_s,
    round(hours_between(previous_at, committed_at), 4) as hours_since_previous,
    case
        when discovery = 'last_known' then 'last_known'
        when tasks_failed = 0 then 'complete'
        when tasks_ok = 0 then 'blind'
        else 'partial'
    end as outcome,
    tasks_total,
    tasks_asked,
    tasks_ok,
    tasks_failed,
    tasks_skipped,
    tasks_expected,
    coalesce(round(tasks_failed / nullif(tasks_ok + tasks_failed, 0), 4), 0) as failed_ratio,
    items,
    items_fresh,
    items_carried,
    changes,
    forced,
    tool_version
from runs
