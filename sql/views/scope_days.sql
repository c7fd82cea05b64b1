-- scope_days: One row per resource, account, region and day (UTC) on which AWS answered completely, by the
--   last snapshot of each day; snapshots that expire do not change it.
-- reads: scope_runs_history
-- kept: resource, account_id, region, observed_at
-- resource varchar: Resource that was requested.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- day date: Day, UTC.
with reported as (
    select
        resource,
        account_id,
        region,
        snapshot_at,
        observed_at,
        utc_day(snapshot_at) as snapshot_day
    from scope_runs_history
),

last_of_day as (
    select max(snapshot_at) as snapshot_at
    from reported
    group by snapshot_day
)

select distinct
    r.resource,
    r.account_id,
    r.region,
    utc_day(r.observed_at) as day
from reported as r
semi join last_of_day as l on r.snapshot_at = l.snapshot_at
where r.observed_at is not null
