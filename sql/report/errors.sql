-- errors: One row per error that AWS reports on an image builder now.
-- reads: fact_image_builder_error
-- question: Which errors do image builders report?
select
    image_builder_key,
    error_code,
    error_message,
    error_timestamp_utc as error_timestamp
from fact_image_builder_error
order by image_builder_key, position
