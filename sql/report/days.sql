-- days: One row per image builder and sequence of days that are alike, from the first day of the last month on: state,
--   hours and cost of each of these days.
-- reads: fact_image_builder_day, dim_image_builder, fact_export_run
-- newest_months: 2
-- question: What did each image builder do and cost, day by day?
with months as (
    select (date_trunc('month', max(day)) - interval 1 month)::date as first_day
    from fact_export_run
),

-- All days of a life that are alike, whether or not they follow each other.
alike as (
    select
        d.image_builder_life_key,
        d.state,
        d.running_hours_at_least,
        round(d.instance_usd_at_least, 4) as instance_usd_at_least,
        round(d.disk_usd_at_least, 4) as disk_usd_at_least,
        min(d.day) as first_day,
        max(d.day) as last_day,
        count(*) as days
    from fact_image_builder_day as d
    inner join months as m on d.day >= m.first_day
    group by all
),

-- Of most builders these are the sequences. Only the days of others are compared one by one.
builders as (
    select
        b.image_builder_key,
        count(distinct b.life) = 1 and bool_and(a.last_day - a.first_day + 1 = a.days) as is_in_sequence
    from alike as a
    inner join dim_image_builder as b on a.image_builder_life_key = b.image_builder_life_key
    group by b.image_builder_key
),

-- A builder has two rows of a day on which it was deleted and created again under its name.
builder_days as (
    select
        d.image_builder_key,
        d.day,
        arg_max_null(d.state, b.life) as state,
        round(sum(d.running_hours_at_least), 4) as running_hours_at_least,
        case when bool_and(d.instance_usd_at_least is not null) then round(sum(d.instance_usd_at_least), 4) end
            as instance_usd_at_least,
        case when bool_and(d.disk_usd_at_least is not null) then round(sum(d.disk_usd_at_least), 4) end
            as disk_usd_at_least
    from fact_image_builder_day as d
    inner join months as m on d.day >= m.first_day
    inner join builders as o on d.image_builder_key = o.image_builder_key and not o.is_in_sequence
    inner join dim_image_builder as b on d.image_builder_life_key = b.image_builder_life_key
    group by d.image_builder_key, d.day
),

numbered as (
    select
        *,
        day - row_number() over (
            partition by
                image_builder_key,
                state,
                running_hours_at_least,
                instance_usd_at_least,
                disk_usd_at_least
            order by day
        )::integer as sequence
    from builder_days
)

select
    b.image_builder_key,
    a.first_day,
    a.days,
    a.state,
    a.running_hours_at_least,
    a.instance_usd_at_least,
    a.disk_usd_at_least
from alike as a
inner join dim_image_builder as b on a.image_builder_life_key = b.image_builder_life_key
inner join builders as o on b.image_builder_key = o.image_builder_key and o.is_in_sequence
union all
select
    image_builder_key,
    min(day) as first_day,
    count(*) as days,
    state,
    running_hours_at_least,
    instance_usd_at_least,
    disk_usd_at_least
from numbered
group by image_builder_key, state, running_hours_at_least, instance_usd_at_least, disk_usd_at_least, sequence
order by image_builder_key, first_day
