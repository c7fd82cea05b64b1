-- image_builder_daily: One row per image builder and day (UTC), from the first answer that showed it to its deletion or
--   to the newest snapshot. Hours and costs are lower bounds, like those of image_builder_state_spans.
-- reads: image_builder_daily, feed_snapshot
-- key: row_key
-- history: day
-- row_key varchar: account_id, region, name, day separated by slashes.
-- image_builder_key varchar: account_id, region, name separated by slashes. A builder that is gone has no row in
--   image_builders.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- day date: Day, UTC: from midnight to midnight.
-- instance_type varchar: Instance size, as last known; null where AWS reports none.
-- platform varchar: Operating system, as last known; null where AWS reports none.
-- state varchar: State that was seen last, on this day or before; null where AWS reports none.
-- running_hours_at_least double: Hours of the day in which it was up: PENDING, UPDATING_AGENT, RUNNING, REBOOTING.
-- seen_hours_at_least double: Hours of the day in which it existed, in any state.
-- instance_usd_at_least decimal(18,4): Cost of running_hours_at_least; null if the price is unknown.
-- disk_usd_at_least decimal(18,4): Cost of the root volume above 200 GB, running or not; null if unknown. A volume
--   without a reported size counts as 200 GB.
-- cost_usd_at_least decimal(18,4): Sum of both; null if either is unknown, never 0 for lack of a price.
-- is_priced boolean: Whether the price list of that day has the prices that the cost needs.
-- is_covered boolean: Whether AWS answered completely for its scope on that day. If false, hours and state come from
--   answers before and after that day.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
select
    concat_ws('/', m.image_builder_key, m.day) as row_key,
    m.image_builder_key,
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
