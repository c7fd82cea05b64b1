-- export_failures: Did the export fail
-- question: Which runs of the export failed in part, and where are gaps between runs?
-- reads: export_runs
-- param days: integer = 7 -- Number of days back from the newest run.
-- param complete: boolean = true -- Include runs that saw everything.
-- chart: failed by committed_at
with newest as (
    select max(committed_at) as committed_at
    from export_runs
)

select
    r.seq,
    r.committed_at,
    r.outcome,
    r.tasks_ok as ok,
    r.tasks_failed as failed,
    round(r.hours_since_previous, 1) as hours_since,
    r.items,
    r.changes
from export_runs as r
cross join newest as n
where r.committed_at >= n.committed_at - to_days($days) and ($complete or r.outcome <> 'complete')
order by r.seq desc
