-- fact_export_run: One row per run that committed, including expired snapshots. A run that committed nothing has no
--   row.
-- reads: export_runs
-- key: export_run_key
-- history: committed_at_utc
-- export_run_key varchar: Snapshot that the run committed: a ULID.
-- day date: Day of committed_at_utc.
-- seq bigint: Position in the history.
-- run_id varchar: Identifies the run; its repeated attempts share it.
-- started_at_utc timestamp: Start of the run. UTC.
-- committed_at_utc timestamp: When the snapshot was committed. UTC.
-- duration_s double: From started_at_utc to committed_at_utc, in seconds.
-- hours_since_previous double: Hours from the previous commit to this one; null for the first.
-- outcome varchar: complete (every scope answered), partial (some failed), blind (none answered) or last_known (the
--   accounts could not be discovered).
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
select
    m.snapshot_id as export_run_key,
    utc_day(m.committed_at) as day,
    m.seq,
    m.run_id,
    utc(m.started_at) as started_at_utc,
    utc(m.committed_at) as committed_at_utc,
    m.duration_s,
    m.hours_since_previous,
    m.outcome,
    m.tasks_total,
    m.tasks_asked,
    m.tasks_ok,
    m.tasks_failed,
    m.tasks_skipped,
    m.tasks_expected,
    m.failed_ratio,
    m.items,
    m.items_fresh,
    m.items_carried,
    m.changes,
    m.forced,
    m.tool_version
from export_runs as m
