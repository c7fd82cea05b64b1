-- month_forecast: Forecast of the month
-- question: What will image builders cost by the end of the month, if each hour that is left costs the mean of the last
--   `days` whole days, or, before a whole day was seen, what it costs now?
-- reads: image_builder_daily, image_builder_state_spans, image_builder_overview, snapshots
-- param days: integer = 7 -- Number of whole days before the newest snapshot's; 7 have one of each weekday.
-- chart: month_usd by day, basis
with bounds as (
    select
        (select min(s.first_observed_at) from image_builder_state_spans as s) as first_at,
        date_trunc('minute', max(committed_at)) as until_at
    from snapshots
    where kind = 'sweep'
),

costs as (
    select
        day,
        sum(cost_usd_at_least) as usd,
        count(distinct image_builder_key) filter (not is_priced) as unpriced
    from image_builder_daily
    group by day
),

whole_days as (
    select unnest(days_between(first_at, until_at)) as day
    from bounds
),

mean as (
    select avg(case when c.day is null then 0 else c.usd end) as usd
    from whole_days as w
    cross join bounds as b
    left join costs as c on w.day = c.day
    where w.day >= utc_day(b.until_at) - $days and hours_within(b.first_at, b.until_at, w.day) = 24
),

run_rate as (
    select
        sum(
            case when state in ('PENDING', 'UPDATING_AGENT', 'RUNNING', 'REBOOTING') then usd_per_hour * 24 else 0 end
            + disk_usd_per_month * 12 / 365
        ) as usd
    from image_builder_overview
),

calendar as (
    select
        unnest(range(
            date_trunc('month', utc_day(until_at))::timestamp,
            date_trunc('month', utc_day(until_at))::timestamp + interval 1 month,
            interval 1 day
        ))::date as day,
        first_at,
        until_at,
        coalesce((select m.usd from mean as m), (select r.usd from run_rate as r)) as usd_per_day
    from bounds
),

days as (
    select
        k.day,
        case
            when k.day < utc_day(k.first_at) then 'not seen'
            when k.day < utc_day(k.until_at) then 'seen'
            when k.day = utc_day(k.until_at) then 'seen in part'
            else 'forecast'
        end as basis,
        case
            when k.day >= utc_day(k.first_at)
                then
                    case when c.day is null then 0 else c.usd end
                    + case
                        when k.day >= utc_day(k.until_at)
                            then k.usd_per_day * hours_within(k.until_at, midnight(k.day + 1), k.day) / 24
                        else 0
                    end
        end as usd,
        case when k.day between utc_day(k.first_at) and utc_day(k.until_at) then coalesce(c.unpriced, 0) end as unpriced
    from calendar as k
    left join costs as c on k.day = c.day
)

select
    day,
    basis,
    usd::decimal(18, 2) as usd,
    (sum(usd) over (order by day))::decimal(18, 2) as month_usd,
    unpriced
from days
order by day
