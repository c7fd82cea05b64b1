-- days: One row per image builder and sequence of days that are alike, from the first day of the last month on: state,
--   hours and cost of each of these days.
-- reads: image_builder_daily, snapshots
-- newest_months: 2
-- question: What did each image builder do and cost, day by day?
with months as (
    select (date_trunc('month', max(utc_day(committed_at))) - interval 1 month)::date as first_day
    from snapshots
    where kind = 'sweep'
),

numbered as (
    select
        d.image_builder_key,
        d.day,
        d.state,
        d.running_hours_at_least,
        d.instance_usd_at_least,
        d.disk_usd_at_least,
        d.day - row_number() over (
            partition by
                d.image_builder_key,
                d.state,
                d.running_hours_at_least,
                d.instance_usd_at_least,
                d.disk_usd_at_least
            order by d.day
        )::integer as sequence
    from image_builder_daily as d
    inner join months as m on d.day >= m.first_day
)

select
    image_builder_key,
    min(day) as first_day,
    count(*) as days,
    state,
    running_hours_at_least,
    instance_usd_at_least::double as instance_usd_at_least,
    disk_usd_at_least::double as disk_usd_at_least
from numbered
group by image_builder_key, state, running_hours_at_least, instance_usd_at_least, disk_usd_at_least, sequence
order by image_builder_key, first_day
