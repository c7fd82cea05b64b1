-- repeat_failures: Failing again and again
-- question: Which image builders reported several errors, or were FAILED several times?
-- reads: image_builder_errors_history, image_builder_state_spans
-- param times: integer = 2 -- Minimum number of errors, or of times.
-- param top: integer = 50 -- Maximum number of rows, the most errors first.
-- chart: errors by name, account
with errors as (
    select
        account_id,
        region,
        image_builder_name as name,
        count(distinct row(error_code, error_timestamp)) as errors
    from image_builder_errors_history
    group by all
),

spans as (
    select
        account_id,
        region,
        name,
        any_value(account_name) as account_name,
        count(*) filter (state = 'FAILED') as times_failed
    from image_builder_state_spans
    group by all
)

select
    coalesce(s.account_name, s.account_id) as account,
    s.region,
    s.name,
    s.times_failed as failed,
    coalesce(e.errors, 0) as errors
from spans as s
left join errors as e on s.account_id = e.account_id and s.region = e.region and s.name = e.name
where greatest(s.times_failed, coalesce(e.errors, 0)) >= $times
order by errors desc, s.times_failed desc, account, s.region, s.name
limit $top
