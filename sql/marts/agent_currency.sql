-- agent_currency: One row per image builder: how old its AppStream agent is.
-- reads: image_builders
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- state varchar: State that it is in; null where AWS does not say.
-- platform varchar: Operating system; null where AWS does not say.
-- appstream_agent_version varchar: Version of the agent, as AWS writes it; null where AWS does not say.
-- released_on date: Day of that version, which is its name (MM-DD-YYYY); null when it has another form.
-- is_latest boolean: Whether AWS calls it the newest; null where AWS does not say.
-- agent_age_days bigint: From released_on to the answer that showed it, in days; null when released_on is.
-- is_stale boolean: The newest attempt to ask this scope failed or was skipped: the row is of observed_at.
-- observed_at timestamptz: When AWS gave this row.
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
    state,
    platform,
    appstream_agent_version,
    released_on,
    case upper(latest_appstream_agent_version) when 'TRUE' then true when 'FALSE' then false end as is_latest,
    utc_day(observed_at) - released_on as agent_age_days,
    is_stale,
    observed_at
from dated
