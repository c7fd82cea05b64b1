-- running_over: Running for long
-- question: Which image builders have been up for at least `hours` hours, and what has that cost?
-- reads: running_image_builders
-- param hours: integer = 2 -- Minimum number of hours, as seen: a lower bound.
-- param top: integer = 50 -- Maximum number of rows, the longest first.
-- chart: hours by name, account
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    round(running_hours_at_least, 1) as hours,
    cost_usd_at_least::decimal(18, 2) as usd,
    case when is_stale then 'stale' end as note
from running_image_builders
where running_hours_at_least >= $hours
order by running_hours_at_least desc, usd desc nulls last, account, region, name
limit $top
