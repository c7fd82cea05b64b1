-- image_builder_daily: One row per image builder and day (UTC), from the first answer that showed it to its deletion or
--   to the newest snapshot. Hours and costs are lower bounds, as those of image_builder_state_spans.
-- reads: image_builder_daily, feed_snapshot
-- key: row_key
-- row_key varchar: account_id, region, name, day with slashes between them.
-- image_builder_key varchar: account_id, region, name with slashes between them. A builder that is gone has none in
--   image_builders.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- day date: Day, UTC: from midnight to midnight.
-- instance_type varchar: Size, as it was last known; null where AWS does not say.
-- platform varchar: Operating system, as it was last known; null where AWS does not say.
-- state varchar: The state that was seen last, on this day or before it; null where AWS does not say.
-- running_hours_at_least double: Hours of the day in which it was up: PENDING, UPDATING_AGENT, RUNNING, REBOOTING.
-- seen_hours_at_least double: Hours of the day in which it was there, whatever its state.
-- instance_usd_at_least decimal(18,4): What running_hours_at_least cost; null when the price is unknown.
-- disk_usd_at_least decimal(18,4): What the root volume above 200 GB cost, running or not; null when that is unknown. A
--   volume whose size AWS does not say has 200 GB.
-- cost_usd_at_least decimal(18,4): Both together; null when either is unknown, never 0 for that.
-- is_priced boolean: Whether the price list of the day has what the cost needs.
-- is_covered boolean: Whether AWS answered completely for its scope on that day; else hours and state are of answers
--   before and after it.
-- as_of_utc timestamp: When the snapshot was committed that this feed shows. UTC.
-- snapshot_id varchar: Snapshot that this feed shows: equal in all feeds of a generation.
select
    concat_ws('/', m.account_id, m.region, m.name, m.day) as row_key,
    concat_ws('/', m.account_id, m.region, m.name) as image_builder_key,
    m.account_id,
    m.account_name,
    m.region,
    m.name,
    m.day,
    m.instance_type,
    m.platform,
    m.state,
    m.running_hours_at_least,
    m.seen_hours_at_least,
    m.instance_usd_at_least,
    m.disk_usd_at_least,
    m.cost_usd_at_least,
    m.is_priced,
    m.is_covered,
    f.as_of_utc,
    f.snapshot_id
from image_builder_daily as m
cross join feed_snapshot as f
