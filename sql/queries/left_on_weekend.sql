-- left_on_weekend: Left on over the weekend
-- question: Which image builders were up over the last weekend (Saturday and Sunday, UTC), and what did that cost?
-- reads: image_builder_daily, snapshots
-- param hours: integer = 12 -- Minimum number of its 48 hours.
-- param top: integer = 50 -- Maximum number of rows, the longest first.
-- chart: hours by name, account
with weekend as (
    select date_trunc('week', max(utc_day(committed_at)))::date as monday
    from snapshots
    where kind = 'sweep'
),

up as (
    select
        d.account_id,
        d.account_name,
        d.region,
        d.name,
        sum(d.running_hours_at_least) as hours,
        case when bool_and(d.is_priced) then sum(d.instance_usd_at_least) end as usd
    from image_builder_daily as d
    inner join weekend as w on d.day between w.monday - 2 and w.monday - 1
    group by d.account_id, d.account_name, d.region, d.name
)

select
    coalesce(account_name, account_id) as account,
    region,
    name,
    round(hours, 1) as hours,
    usd::decimal(18, 2) as usd
from up
where hours >= $hours
order by up.hours desc, usd desc nulls last, account, region, name
limit $top
