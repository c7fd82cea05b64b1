-- errors: One row per error that AWS reports on an image builder now.
-- reads: image_builder_errors
-- question: Which errors do image builders report?
select
    concat_ws('/', account_id, region, image_builder_name) as image_builder_key,
    error_code,
    error_message,
    error_timestamp
from image_builder_errors
order by image_builder_key, position
