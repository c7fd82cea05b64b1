-- dim_date: One row per day of each year from the first day that any row of the feeds names to the newest snapshot's.
-- reads: feed_scopes, feed_snapshot
-- key: day
-- day date: Day, UTC: from midnight to midnight.
-- year bigint: Year, such as 2026.
-- quarter bigint: Quarter of the year, 1 to 4.
-- month bigint: Month of the year, 1 to 12.
-- month_name varchar: Name of the month, in English.
-- year_month varchar: Year and month, such as 2026-01.
-- day_of_month bigint: Day of the month, 1 to 31.
-- day_of_week bigint: Day of the week, 1 (Monday) to 7 (Sunday), as in ISO 8601.
-- day_name varchar: Name of the day, in English.
-- iso_year bigint: Year of the ISO week.
-- iso_week bigint: ISO week of the year, 1 to 53.
-- is_weekend boolean: Whether it is a Saturday or a Sunday.
-- days_ago bigint: Days from it to the newest snapshot's day; negative for days after that one.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
with bounds as (
    select
        any_value(f.as_of_utc)::date as today,
        least(min(s.first_day), today) as first_day,
        greatest(max(s.last_day), today) as last_day
    from feed_snapshot as f
    left join feed_scopes as s on true
),

days as (
    select
        today,
        unnest(generate_series(
            make_date(year(first_day), 1, 1)::timestamp, make_date(year(last_day), 12, 31)::timestamp, interval 1 day
        ))::date as day
    from bounds
)

select
    d.day,
    year(d.day) as year,
    quarter(d.day) as quarter,
    month(d.day) as month,
    monthname(d.day) as month_name,
    strftime(d.day, '%Y-%m') as year_month,
    dayofmonth(d.day) as day_of_month,
    isodow(d.day) as day_of_week,
    dayname(d.day) as day_name,
    isoyear(d.day) as iso_year,
    week(d.day) as iso_week,
    isodow(d.day) > 5 as is_weekend,
    d.today - d.day as days_ago,
    f.as_of_utc,
    f.snapshot_id
from days as d
cross join feed_snapshot as f
