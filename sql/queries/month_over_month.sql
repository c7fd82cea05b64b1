-- month_over_month: Month over month
-- question: What did image builders cost each month, at least, and how did the cost of a day change?
-- reads: image_builder_daily, image_builder_state_spans, snapshots
-- param months: integer = 12 -- Maximum number of months, the newest first.
-- chart: usd by month
with bounds as (
    select
        (select min(s.first_observed_at) from image_builder_state_spans as s) as first_at,
        max(committed_at) as until_at
    from snapshots
    where kind = 'sweep'
),

calendar as (
    select
        first_at,
        until_at,
        unnest(days_between(first_at, until_at)) as day
    from bounds
),

months as (
    select
        date_trunc('month', day)::date as month,
        -- Days of which only a part was seen count as that part.
        sum(hours_within(first_at, until_at, day)) / 24 as days
    from calendar
    group by month
),

costs as (
    select
        date_trunc('month', day)::date as month,
        count(distinct image_builder_key) as builders,
        sum(running_hours_at_least) as hours,
        sum(cost_usd_at_least) as usd,
        count(distinct image_builder_key) filter (not is_priced) as unpriced
    from image_builder_daily
    group by month
),

joined as (
    select
        m.month,
        m.days,
        coalesce(c.builders, 0) as builders,
        coalesce(c.hours, 0) as hours,
        case when c.month is null then 0 else c.usd end as usd,
        coalesce(c.unpriced, 0) as unpriced
    from months as m
    left join costs as c on m.month = c.month
)

select
    month,
    round(days, 1) as days_seen,
    builders,
    round(hours, 1) as hours,
    usd::decimal(18, 2) as usd,
    (usd / nullif(days, 0))::decimal(18, 2) as usd_per_day,
    round(100 * ((usd / days) / nullif(lag(usd / days) over (order by month), 0) - 1), 1) as change_percent,
    unpriced
from joined
order by month desc
limit $months
