-- export_runs: One row per run that committed, expired ones included; a run that committed nothing left no row.
-- reads: snapshots
-- seq bigint: Place in the history.
-- snapshot_id varchar: Snapshot that it committed: a ULID.
-- run_id varchar: The intent: repeated attempts of one run share it.
-- started_at timestamptz: When it began.
-- committed_at timestamptz: When its snapshot became visible.
-- duration_s double: From started_at to committed_at, in seconds.
-- hours_since_previous double: From the run's commit before to this one, in hours; null for the first.
-- outcome varchar: complete (none failed; what was never asked is in tasks_skipped), partial (some failed), blind (none
--   answered) or last_known (the accounts could not be discovered).
-- tasks_total bigint: Tasks in the snapshot, asked or not.
-- tasks_asked bigint: Tasks asked by this run.
-- tasks_ok bigint: Tasks whose newest attempt is ok or filtered.
-- tasks_failed bigint: Tasks whose newest attempt failed, expected failures left out.
-- tasks_skipped bigint: Tasks skipped, such as those of suspended accounts.
-- tasks_expected bigint: Tasks whose newest attempt failed as expected.
-- failed_ratio double: tasks_failed over tasks_ok and tasks_failed; 0 when there are none.
-- items bigint: Items in the snapshot, over all resources.
-- items_fresh bigint: Items written by this run.
-- items_carried bigint: Items carried from the snapshot before.
-- changes bigint: Changes that it proved.
-- forced boolean: Whether it was told to believe a fall in items.
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
