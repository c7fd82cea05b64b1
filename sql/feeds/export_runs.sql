-- export_runs: One row per run that committed, expired ones included; a run that committed nothing left no row.
-- reads: export_runs, feed_snapshot
-- key: export_run_key
-- export_run_key varchar: Snapshot that it committed: a ULID.
-- seq bigint: Place in the history.
-- run_id varchar: The intent: repeated attempts of one run share it.
-- started_at_utc timestamp: When it began. UTC.
-- committed_at_utc timestamp: When its snapshot became visible. UTC.
-- duration_s double: From started_at to committed_at, in seconds.
-- hours_since_previous double: From the run's commit before to this one, in hours; null for the first.
-- outcome varchar: complete (every scope answered), partial (some failed), blind (none answered) or last_known (the
--   accounts could not be discovered).
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
-- as_of_utc timestamp: When the snapshot was committed that this feed shows. UTC.
-- snapshot_id varchar: Snapshot that this feed shows: equal in all feeds of a generation.
select
    m.snapshot_id as export_run_key,
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
    m.tool_version,
    f.as_of_utc,
    f.snapshot_id
from export_runs as m
cross join feed_snapshot as f
