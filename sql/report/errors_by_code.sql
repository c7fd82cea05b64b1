-- errors_by_code: One row per error code that builders report now, the most frequent first; at most 15.
-- reads: image_builder_errors
-- question: Which errors do builders report?
select
    coalesce(error_code, 'unknown') as error_code,
    count(distinct concat_ws('/', account_id, region, image_builder_name)) as builders,
    count(*) as errors,
    max(error_timestamp) as newest
from image_builder_errors
group by all
order by builders desc, error_code
limit 15
