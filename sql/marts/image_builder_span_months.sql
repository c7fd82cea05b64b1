-- image_builder_span_months: One row per state span of an image builder and month (UTC) in which it has days: what the
--   days of that month derive from. The newest snapshot's month is in parts that begin on days 1, 9, 17 and 25. Times
--   after the month or part are its end, so that rows of past ones rarely change.
-- reads: image_builder_state_spans, snapshots
-- month date: First day of the month or part.
-- month_end timestamptz: End of the month or part: the first moment after it.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes. A builder that is gone has no row in
--   image_builders.
-- life bigint: Number, from 1, of the builder among those that had this name here.
-- instance_type varchar: Instance size, as last known; null where AWS reports none.
-- platform varchar: Operating system, as last known; null where AWS reports none.
-- root_volume_size_gb bigint: Root volume in GB, as last known; null where AWS reports none.
-- state varchar: State of the span; null where AWS's value could not be read.
-- is_active boolean: Whether the instance is up in this state and costs money.
-- first_observed_at timestamptz: The first answer that showed this state.
-- last_observed_at timestamptz: The last answer that showed it, or the end of the month or part.
-- active_until timestamptz: End of its activity, or the end of the month or part; null if it is not active.
-- seen_until timestamptz: Until when it existed, as far as is known, or the end of the month or part.
-- days_until timestamptz: Until when the span has days, or the end of the month or part.
with newest as (
    select
        max(committed_at) as committed_at,
        date_trunc('month', utc_day(arg_max(committed_at, seq)))::date as first_day
    from snapshots
    where kind = 'sweep'
),

-- End of a span's days: the start of the next span, the last observation of a builder that is gone, else today.
spans as (
    select
        s.*,
        case when s.ended_by = 'changed' then s.next_observed_at else s.last_observed_at end as seen_end,
        case
            when s.is_current then greatest(n.committed_at, s.last_observed_at)
            when s.ended_by = 'changed' then s.next_observed_at
            else s.last_observed_at
        end as days_end,
        n.first_day as newest_month
    from image_builder_state_spans as s
    cross join newest as n
),

months as (
    select
        *,
        unnest(months_between(first_observed_at, days_end)) as first_day,
        (first_day + interval 1 month)::date as next_day,
        first_day >= newest_month as is_newest
    from spans
),

-- From day to day, only the last part of the newest month changes.
parts as (
    select
        m.*,
        m.first_day + p.skipped as month,
        midnight(case when m.is_newest then least(m.first_day + p.until, m.next_day) else m.next_day end) as month_end
    from months as m
    inner join (values (0, 8), (8, 16), (16, 24), (24, 31)) as p (skipped, until) on m.is_newest or p.skipped = 0
)

select
    month,
    month_end,
    account_id,
    region,
    name,
    image_builder_key,
    life,
    instance_type,
    platform,
    root_volume_size_gb,
    state,
    is_active,
    first_observed_at,
    least(last_observed_at, month_end) as last_observed_at,
    case when is_active then least(active_until, month_end) end as active_until,
    least(seen_end, month_end) as seen_until,
    least(days_end, month_end) as days_until
from parts
where month_end > first_observed_at and midnight(month) <= days_end
