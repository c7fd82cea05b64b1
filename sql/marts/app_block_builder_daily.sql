-- app_block_builder_daily: One row per app block builder and day (UTC), from the first answer that showed it to its
--   deletion or to the newest snapshot. Hours and costs are lower bounds, like those of
--   app_block_builder_state_spans.
-- reads: app_block_builder_state_spans, scope_days, snapshots, prices
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the app block builder.
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
with newest as (
    select max(committed_at) as committed_at
    from snapshots
    where kind = 'sweep'
),

-- End of a span's days: the start of the next span, the last observation of a builder that is gone, else today.
spans as (
    select
        s.*,
        case
            when s.is_current then greatest(n.committed_at, s.last_observed_at)
            when s.ended_by = 'changed' then s.next_observed_at
            else s.last_observed_at
        end as days_until,
        case when s.ended_by = 'changed' then s.next_observed_at else s.last_observed_at end as seen_until
    from app_block_builder_state_spans as s
    cross join newest as n
),

days as (
    select
        *,
        unnest(days_between(first_observed_at, days_until)) as day
    from spans
),

hours as (
    select
        *,
        case when is_active then hours_within(first_observed_at, active_until, day) else 0 end as running_hours,
        hours_within(first_observed_at, seen_until, day) as seen_hours,
        greatest(coalesce(root_volume_size_gb, 200) - 200, 0) as paid_gb,
        price_at(region, instance_type, platform, day) as price
    from days
),

costs as (
    select
        *,
        running_hours * price.usd_per_hour as instance_usd,
        case when paid_gb > 0 then seen_hours * paid_gb * price.disk_usd_per_gb_month / 730 else 0 end as disk_usd
    from hours
),

builder_days as (
    select
        account_id,
        region,
        name,
        day,
        any_value(account_name) as account_name,
        arg_max(instance_type, first_observed_at) as instance_type,
        arg_max(platform, first_observed_at) as platform,
        arg_max_null(state, first_observed_at) as state,
        bool_or(day in (utc_day(first_observed_at), utc_day(last_observed_at))) as is_seen,
        sum(running_hours) as running_hours,
        sum(seen_hours) as seen_hours,
        case when bool_and(instance_usd is not null) then sum(instance_usd) end as instance_usd,
        case when bool_and(disk_usd is not null) then sum(disk_usd) end as disk_usd
    from costs
    group by account_id, region, name, day
)

select
    b.account_id,
    b.account_name,
    b.region,
    b.name,
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
        and d.resource = 'app_block_builders'
