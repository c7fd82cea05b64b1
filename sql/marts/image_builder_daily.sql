-- image_builder_daily: One row per image builder and day (UTC), from the first answer that showed it to its deletion or
--   to the newest snapshot. Hours and costs are lower bounds, like those of image_builder_state_spans.
-- reads: image_builder_life_days, scope_days
-- also: image_builder as app_block_builder
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes. A builder that is gone has no row in
--   image_builders.
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
-- is_covered boolean: Whether AWS returned it on that day, or answered completely for its scope. If false, hours and
--   state come from answers before and after that day.
with shared_days as (
    -- Days on which a builder was deleted and another one created under its name.
    select
        image_builder_key,
        day
    from image_builder_life_days
    group by image_builder_key, day
    having count(*) > 1
),

builder_days as (
    select
        d.image_builder_key,
        d.day,
        d.account_id,
        d.account_name,
        d.region,
        d.name,
        d.instance_type,
        d.platform,
        d.state,
        d.is_seen,
        d.running_hours,
        d.seen_hours,
        d.instance_usd,
        d.disk_usd
    from image_builder_life_days as d
    anti join shared_days as s on d.image_builder_key = s.image_builder_key and d.day = s.day
    union all
    select
        d.image_builder_key,
        d.day,
        any_value(d.account_id) as account_id,
        any_value(d.account_name) as account_name,
        any_value(d.region) as region,
        any_value(d.name) as name,
        arg_max(d.instance_type, d.life) as instance_type,
        arg_max(d.platform, d.life) as platform,
        arg_max_null(d.state, d.life) as state,
        bool_or(d.is_seen) as is_seen,
        sum(d.running_hours) as running_hours,
        sum(d.seen_hours) as seen_hours,
        case when bool_and(d.instance_usd is not null) then sum(d.instance_usd) end as instance_usd,
        case when bool_and(d.disk_usd is not null) then sum(d.disk_usd) end as disk_usd
    from image_builder_life_days as d
    semi join shared_days as s on d.image_builder_key = s.image_builder_key and d.day = s.day
    group by d.image_builder_key, d.day
)

select
    b.account_id,
    b.account_name,
    b.region,
    b.name,
    b.image_builder_key,
    b.day,
    b.instance_type,
    b.platform,
    b.state,
    round(b.running_hours, 4) as running_hours_at_least,
    round(b.seen_hours, 4) as seen_hours_at_least,
    b.instance_usd::decimal(18, 4) as instance_usd_at_least,
    b.disk_usd::decimal(18, 4) as disk_usd_at_least,
    (b.instance_usd + b.disk_usd)::decimal(18, 4) as cost_usd_at_least,
    coalesce(b.instance_usd + b.disk_usd is not null, false) as is_priced,
    b.is_seen or d.day is not null as is_covered
from builder_days as b
left join scope_days as d
    on
        b.account_id = d.account_id
        and b.region = d.region
        and b.day = d.day
        and d.resource = 'image_builders'
