-- cost_per_account: Cost per account
-- question: What did image builders cost in each account, at least?
-- reads: image_builder_daily, snapshots
-- param days: integer = 30 -- Number of days, up to and including the newest snapshot's.
-- param top: integer = 50 -- Maximum number of accounts, the most expensive first.
-- chart: usd by account
with newest as (
    select max(utc_day(committed_at)) as day
    from snapshots
    where kind = 'sweep'
)

select
    coalesce(d.account_name, d.account_id) as account,
    count(distinct row(d.region, d.name)) as builders,
    round(sum(d.running_hours_at_least), 1) as hours,
    sum(d.instance_usd_at_least)::decimal(18, 2) as instance_usd,
    sum(d.disk_usd_at_least)::decimal(18, 2) as disk_usd,
    sum(d.cost_usd_at_least)::decimal(18, 2) as usd,
    count(distinct row(d.region, d.name)) filter (not d.is_priced) as unpriced
from image_builder_daily as d
cross join newest as n
where d.day > n.day - $days
group by d.account_id, d.account_name
order by usd desc nulls last, account
limit $top
