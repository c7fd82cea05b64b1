-- errors_by_week: Errors by code and week
-- question: Which errors did image builders report, week by week?
-- reads: image_builder_errors_history, snapshots
-- param weeks: integer = 12 -- Number of weeks, up to and including the newest snapshot's.
with newest as (
    select max(utc_day(committed_at)) as day
    from snapshots
    where kind = 'sweep'
),

errors as (
    select distinct
        account_id,
        region,
        image_builder_name,
        error_code,
        error_timestamp
    from image_builder_errors_history
    where error_timestamp is not null
)

select
    date_trunc('week', utc_day(e.error_timestamp))::date as week,
    e.error_code,
    count(*) as errors,
    count(distinct row(e.account_id, e.region, e.image_builder_name)) as builders,
    count(distinct e.account_id) as accounts
from errors as e
cross join newest as n
where utc_day(e.error_timestamp) > date_trunc('week', n.day)::date - 7 * ($weeks - 1) - 1
group by week, e.error_code
order by week desc, errors desc, e.error_code
