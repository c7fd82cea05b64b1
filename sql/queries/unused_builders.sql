-- unused_builders: Unused builders
-- question: Which image builders are older than `days` days without any fleet that uses an image of theirs?
-- reads: image_builder_lineage
-- param days: integer = 30 -- Minimum age of the builder.
-- param top: integer = 50 -- Maximum number of rows, the oldest first.
-- chart: days by name, account
with builders as (
    select
        account_id,
        account_name,
        region,
        name,
        state,
        created_time,
        is_stale,
        count(image_arn) as images,
        max(observed_at) as observed_at
    from image_builder_lineage
    group by all
    having sum(fleets) = 0
)

select
    coalesce(account_name, account_id) as account,
    region,
    name,
    state,
    utc_day(observed_at) - utc_day(created_time) as days,
    images,
    case when is_stale then 'stale' end as note
from builders
where utc_day(observed_at) - utc_day(created_time) >= $days
order by days desc, account, region, name
limit $top
