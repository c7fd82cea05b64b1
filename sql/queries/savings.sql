-- savings: Savings
-- question: What would be saved if image builders that have been up for at least `hours` hours were stopped?
-- reads: running_image_builders
-- param hours: integer = 12 -- Minimum number of hours up; AWS does not report whether a builder is in use.
-- param top: integer = 50 -- Maximum number of rows, the largest savings first. The total is of all of them.
-- chart: usd_per_month by name, account
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    round(running_hours_at_least, 1) as hours,
    (usd_per_hour * 24)::decimal(18, 2) as usd_per_day,
    -- A month has 730 hours. Disks cost the same when a builder is stopped.
    (usd_per_hour * 730)::decimal(18, 2) as usd_per_month,
    (sum(usd_per_hour) over () * 730)::decimal(18, 2) as total_usd_per_month
from running_image_builders
where running_hours_at_least >= $hours
order by usd_per_month desc nulls last, hours desc, account, region, name
limit $top
