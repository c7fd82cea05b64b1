-- fact_image_builder_error: One row per error that AWS reports on an image builder in the newest snapshot.
-- reads: image_builder_errors, image_builder_lives
-- replaces: image_builder_errors
-- key: row_key
-- row_key varchar: account_id, region, name, position separated by slashes.
-- image_builder_life_key varchar: image_builder_key and life separated by a slash: key of dim_image_builder.
-- image_builder_key varchar: account_id, region, name separated by slashes: key of image_builder_latest.
-- scope_key varchar: Resource, account and region, separated by slashes: key of dim_scope.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- day date: Day of observed_at_utc.
-- position bigint: Place of the error in AWS's list, from 0.
-- error_code varchar: AWS's code of the error; null where AWS reports none.
-- error_message varchar: The error in words; null where AWS reports none.
-- error_timestamp_utc timestamp: When it occurred, by AWS's clock; null where AWS reports none. UTC.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at_utc.
-- observed_at_utc timestamp: When AWS returned this row. UTC.
select
    concat_ws('/', e.image_builder_key, e.position) as row_key,
    l.image_builder_life_key,
    e.image_builder_key,
    concat_ws('/', 'image_builders', e.account_id, e.region) as scope_key,
    e.account_id,
    e.region,
    utc_day(e.observed_at) as day,
    e.position,
    e.error_code,
    e.error_message,
    utc(e.error_timestamp) as error_timestamp_utc,
    e.is_stale,
    utc(e.observed_at) as observed_at_utc
from image_builder_errors as e
left join image_builder_lives as l
    on e.account_id = l.account_id and e.region = l.region and e.image_builder_name = l.name and l.is_last_life
