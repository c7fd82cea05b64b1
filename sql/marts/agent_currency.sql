-- agent_currency: One row per image builder: the age of its AppStream agent.
-- reads: image_builders
-- key: image_builder_key
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes: key of image_builders.
-- state varchar: Current state; null where AWS reports none.
-- platform varchar: Operating system; null where AWS reports none.
-- appstream_agent_version varchar: Version of the agent, as AWS spells it; null where AWS reports none.
-- released_on date: Release day, taken from the version (MM-DD-YYYY); null if it has another form.
-- is_latest boolean: Whether AWS calls it the newest; null where AWS reports none.
-- agent_age_days bigint: Days from released_on to observed_at; null if released_on is null.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at.
-- observed_at timestamptz: When AWS returned this row.
with dated as (
    select
        *,
        try_strptime(appstream_agent_version, '%m-%d-%Y')::date as released_on
    from image_builders
)

select
    account_id,
    account_name,
    region,
    name,
    image_builder_key,
    state,
    platform,
    appstream_agent_version,
    released_on,
    case upper(latest_appstream_agent_version) when 'TRUE' then true when 'FALSE' then false end as is_latest,
    utc_day(observed_at) - released_on as agent_age_days,
    is_stale,
    observed_at
from dated
