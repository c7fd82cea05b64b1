-- cost_by_day: One row per day of the last 90: hours seen running, and their cost at least.
-- reads: image_builder_daily
-- question: How much did running builders cost, day by day?
select
    day,
    sum(running_hours_at_least) as running_hours,
    sum(instance_usd_at_least)::double as instance_usd,
    sum(disk_usd_at_least)::double as disk_usd,
    count(*) filter (not is_priced) as unpriced_builders
from image_builder_daily
where day > (select max(d.day) from image_builder_daily as d) - 90
group by day
order by day
