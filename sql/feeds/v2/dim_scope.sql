-- dim_scope: One row per resource, account and region: whether its rows can be trusted, and how old they were when the
--   feeds were made.
-- reads: coverage, quarantine, feed_snapshot
-- key: scope_key
-- scope_key varchar: Resource, account and region, separated by slashes.
-- resource varchar: Resource that was requested, such as image_builders.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- status varchar: ok, filtered, skipped, or why the newest attempt failed.
-- reason varchar: The failure in words; null when ok.
-- error_code varchar: AWS's error code; null when AWS gave none.
-- is_stale boolean: The newest attempt failed or was skipped: rows, if any, date from observed_at_utc.
-- is_expected boolean: The failure is expected and is not counted.
-- attempted_at_utc timestamp: When the newest attempt began; null if never requested. UTC.
-- discarded_at_utc timestamp: End of an answer that was discarded because a newer one was present; null if none. UTC.
-- observed_at_utc timestamp: When AWS last answered completely; null if never. UTC.
-- age_hours double: Hours from observed_at_utc to as_of_utc; null if never.
-- quarantined bigint: Items, elements of lists and values of the scope that could not be read.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
with unread as (
    select
        resource,
        account_id,
        region,
        count(*) as found
    from quarantine
    group by resource, account_id, region
)

select
    concat_ws('/', c.resource, c.account_id, c.region) as scope_key,
    c.resource,
    c.account_id,
    c.region,
    c.status,
    c.reason,
    c.error_code,
    c.is_stale,
    c.is_expected,
    utc(c.attempted_at) as attempted_at_utc,
    utc(c.discarded_at) as discarded_at_utc,
    utc(c.observed_at) as observed_at_utc,
    round((epoch(f.as_of) - epoch(c.observed_at)) / 3600, 2) as age_hours,
    coalesce(u.found, 0) as quarantined,
    f.as_of_utc,
    f.snapshot_id
from coverage as c
left join unread as u on c.resource = u.resource and c.account_id = u.account_id and c.region = u.region
cross join feed_snapshot as f
