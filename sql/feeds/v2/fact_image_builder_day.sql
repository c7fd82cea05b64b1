-- fact_image_builder_day: One row per life of an image builder and day (UTC), from the first answer that showed it to
--   its deletion or to the newest snapshot. Hours and costs are lower bounds, like those of
--   fact_image_builder_state_span.
-- reads: image_builder_life_days, scope_days
-- key: row_key
-- history: day
-- inputs: image_builder_span_months by month, scope_days by day, prices
-- row_key varchar: image_builder_life_key, day separated by slashes.
-- image_builder_life_key varchar: image_builder_key and life separated by a slash: key of dim_image_builder.
-- image_builder_key varchar: account_id, region, name separated by slashes; all lives of a name share it.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- day date: Day, UTC: from midnight to midnight.
-- state varchar: State that was seen last, on this day or before; null where AWS reports none.
-- running_hours_at_least double: Hours of the day in which it was up: PENDING, UPDATING_AGENT, RUNNING, REBOOTING.
-- seen_hours_at_least double: Hours of the day in which it existed, in any state.
-- usd_per_hour double: Price of an hour while it is up, by the price list of that day; null if unknown.
-- instance_usd_at_least double: Cost of running_hours_at_least in US dollars; null if the price is unknown.
-- disk_usd_at_least double: Cost of the root volume above 200 GB in US dollars, running or not; null if unknown. A
--   volume without a reported size counts as 200 GB.
-- cost_usd_at_least double: Sum of both in US dollars; null if either is unknown, never 0 for lack of a price.
-- is_priced boolean: Whether the price list of that day has the prices that the cost needs.
-- is_covered boolean: Whether AWS returned it on that day, or answered completely for its scope. If false, hours and
--   state come from answers before and after that day.
select
    concat_ws('/', m.image_builder_key, m.life, m.day) as row_key,
    m.image_builder_key || '/' || m.life as image_builder_life_key,
    m.image_builder_key,
    m.account_id,
    m.region,
    m.day,
    m.state,
    round(m.running_hours, 4) as running_hours_at_least,
    round(m.seen_hours, 4) as seen_hours_at_least,
    m.usd_per_hour,
    round(m.instance_usd, 6) as instance_usd_at_least,
    round(m.disk_usd, 6) as disk_usd_at_least,
    round(m.instance_usd + m.disk_usd, 6) as cost_usd_at_least,
    m.instance_usd + m.disk_usd is not null as is_priced,
    m.is_seen or d.day is not null as is_covered
from image_builder_life_days as m
left join scope_days as d
    on
        m.account_id = d.account_id
        and m.region = d.region
        and m.day = d.day
        and d.resource = 'image_builders'
