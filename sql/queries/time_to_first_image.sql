-- time_to_first_image: Time to the first image
-- question: How long did it take from the creation of an image builder to its first image?
-- reads: image_builder_lives, images_history, snapshots
-- param days: integer = 365 -- Maximum age of the builder; builders that are gone are included.
-- param top: integer = 50 -- Maximum number of rows, the longest first, then those without an image.
-- chart: hours by name, account
with newest as (
    select max(utc_day(committed_at)) as day
    from snapshots
    where kind = 'sweep'
),

lives as (
    select
        account_id,
        account_name,
        region,
        name,
        is_current,
        created_time,
        lead(created_time) over (partition by account_id, region, name order by created_time) as next_created_time
    from image_builder_lives
    where created_time is not null
),

-- Images of all snapshots: one that was deleted since counts, too.
images_seen as (
    select distinct
        account_id,
        region,
        name,
        image_builder_name,
        created_time
    from images_history
),

firsts as (
    select
        l.account_id,
        l.account_name,
        l.region,
        l.name,
        l.is_current,
        l.created_time,
        min(m.created_time) as image_created_time,
        arg_min(m.name, m.created_time) as image
    from lives as l
    left join images_seen as m
        on
            l.account_id = m.account_id
            and l.region = m.region
            and l.name = m.image_builder_name
            and l.created_time <= m.created_time
            and coalesce(l.next_created_time > m.created_time, true)
    group by l.account_id, l.account_name, l.region, l.name, l.is_current, l.created_time
)

select
    coalesce(f.account_name, f.account_id) as account,
    f.region,
    f.name,
    utc_day(f.created_time) as created,
    f.image,
    round(hours_between(f.created_time, f.image_created_time), 1) as hours,
    case when not f.is_current then 'gone' end as note
from firsts as f
cross join newest as n
where utc_day(f.created_time) >= n.day - $days
order by hours desc nulls last, f.created_time, account, f.region, f.name
limit $top
