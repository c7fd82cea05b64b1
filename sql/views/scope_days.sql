-- scope_days: One row per resource, account, region and day (UTC) on which AWS answered completely, by the
--   last snapshot of each day; snapshots that expire do not change it.
-- reads: scope_runs_history
-- resource varchar: Resource that was requested.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- day date: Day, UTC.
with told as (
    select
        resource,
        account_id,
        region,
        snapshot_at,
        observed_at,
        utc_day(snapshot_at) as told_on
    from scope_runs_history
),

last_of_day as (
    select max(snapshot_at) as snapshot_at
    from told
    group by told_on
)

select distinct
    t.resource,
    t.account_id,
    t.region,
    utc_day(t.observed_at) as day
from told as t
semi join last_of_day as l on t.snapshot_at = l.snapshot_at
where t.observed_at is not null
