-- image_builder_life_days: One row per life of an image builder and day (UTC), from the first answer that showed it to
--   its deletion or to the newest snapshot. Hours and costs are lower bounds, like those of image_builder_state_spans.
-- reads: image_builder_span_months, accounts, prices
-- also: image_builder as app_block_builder
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes. A builder that is gone has no row in
--   image_builders.
-- life bigint: Number, from 1, of the builder among those that had this name here.
-- day date: Day, UTC: from midnight to midnight.
-- instance_type varchar: Instance size, as last known; null where AWS reports none.
-- platform varchar: Operating system, as last known; null where AWS reports none.
-- state varchar: State that was seen last, on this day or before; null where AWS reports none.
-- is_seen boolean: Whether AWS returned it on that day.
-- running_hours double: Hours of the day in which it was up: PENDING, UPDATING_AGENT, RUNNING, REBOOTING.
-- seen_hours double: Hours of the day in which it existed, in any state.
-- usd_per_hour double: Price of an hour while it is up, by the price list of that day; null if unknown.
-- instance_usd double: Cost of running_hours; null if the price is unknown.
-- disk_usd double: Cost of the root volume above 200 GB, running or not; null if unknown. A volume without a reported
--   size counts as 200 GB.
with lives as (
    -- Every span of a life has the same facts, as last known: a stop changes no cost of the days before it.
    select
        image_builder_key,
        life,
        any_value(account_id) as account_id,
        any_value(region) as region,
        any_value(name) as name,
        any_value(instance_type) as instance_type,
        any_value(platform) as platform,
        greatest(coalesce(any_value(root_volume_size_gb), 200) - 200, 0) as paid_gb
    from image_builder_span_months
    group by image_builder_key, life
),

-- Numbers in place of texts, because each life has many days.
numbered_lives as (
    select
        *,
        row_number() over (order by image_builder_key, life) as life_number,
        dense_rank() over (order by region, instance_type, platform) as kind_number
    from lives
),

days as (
    select
        l.life_number,
        m.state,
        m.is_active,
        m.first_observed_at,
        m.last_observed_at,
        m.active_until,
        m.seen_until,
        -- The end of a month or part is the first moment of the next one, which is not a day of it.
        unnest(days_between(
            greatest(m.first_observed_at, midnight(m.month)),
            least(m.days_until, m.month_end - interval 1 microsecond)
        )) as day
    from image_builder_span_months as m
    inner join numbered_lives as l on m.image_builder_key = l.image_builder_key and m.life = l.life
),

life_days as (
    select
        life_number,
        day,
        arg_max_null(state, first_observed_at) as state,
        bool_or(day in (utc_day(first_observed_at), utc_day(last_observed_at))) as is_seen,
        sum(case when is_active then hours_within(first_observed_at, active_until, day) else 0 end) as running_hours,
        sum(hours_within(first_observed_at, seen_until, day)) as seen_hours
    from days
    group by life_number, day
),

kind_days as (
    select distinct
        l.kind_number,
        l.region,
        l.instance_type,
        l.platform,
        d.day
    from life_days as d
    inner join numbered_lives as l on d.life_number = l.life_number
),

kind_prices as (
    select
        kind_number,
        day,
        price_at(region, instance_type, platform, day) as price
    from kind_days
)

select
    l.account_id,
    a.account_name,
    l.region,
    l.name,
    l.image_builder_key,
    l.life,
    d.day,
    l.instance_type,
    l.platform,
    d.state,
    d.is_seen,
    d.running_hours,
    d.seen_hours,
    p.price.usd_per_hour::double as usd_per_hour,
    (d.running_hours * p.price.usd_per_hour)::double as instance_usd,
    (
        case when l.paid_gb > 0 then d.seen_hours * l.paid_gb * p.price.disk_usd_per_gb_month / 730 else 0 end
    )::double as disk_usd
from life_days as d
inner join numbered_lives as l on d.life_number = l.life_number
left join accounts as a on l.account_id = a.account_id
inner join kind_prices as p on l.kind_number = p.kind_number and d.day = p.day
