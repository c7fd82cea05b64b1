-- exposure: One row per image builder: its ways in and out of the network. Null means that AWS does not report it.
-- reads: image_builders, image_builder_endpoints, image_builder_ipv6_addresses, image_builder_agent_settings
-- key: image_builder_key
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes: key of image_builders.
-- state varchar: Current state; null where AWS reports none.
-- reaches_internet boolean: It reaches the internet without the VPC's own routes (default internet access); null where
--   AWS reports none.
-- allows_imdsv1 boolean: Version 1 of the instance metadata service answers; null where AWS reports none.
-- allows_agents boolean: AI agents may do something on it: any permission is ENABLED.
-- uploads_screenshots boolean: Screenshots of AI agents are uploaded to a bucket; null where AWS reports none.
-- has_ipv6 boolean: Its network interface has an IPv6 address.
-- is_reached_publicly boolean: Administrators reach it without an interface VPC endpoint.
-- exposures bigint: How many of reaches_internet, allows_imdsv1, allows_agents and has_ipv6 are true.
-- exposed_by varchar: Their names, separated by commas; empty if none is true.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at.
-- observed_at timestamptz: When AWS returned this row.
with agents as (
    select distinct
        account_id,
        region,
        image_builder_name
    from image_builder_agent_settings
    where permission = 'ENABLED'
),

addresses as (
    select distinct
        account_id,
        region,
        image_builder_name
    from image_builder_ipv6_addresses
),

endpoints as (
    select distinct
        account_id,
        region,
        image_builder_name
    from image_builder_endpoints
),

ways as (
    select
        b.account_id,
        b.account_name,
        b.region,
        b.name,
        b.image_builder_key,
        b.state,
        b.enable_default_internet_access as reaches_internet,
        not b.disable_imdsv1 as allows_imdsv1,
        a.image_builder_name is not null as allows_agents,
        b.agent_screenshots_upload_enabled as uploads_screenshots,
        i.image_builder_name is not null as has_ipv6,
        e.image_builder_name is null as is_reached_publicly,
        b.is_stale,
        b.observed_at
    from image_builders as b
    left join agents as a on b.account_id = a.account_id and b.region = a.region and b.name = a.image_builder_name
    left join addresses as i on b.account_id = i.account_id and b.region = i.region and b.name = i.image_builder_name
    left join endpoints as e on b.account_id = e.account_id and b.region = e.region and b.name = e.image_builder_name
)

select
    account_id,
    account_name,
    region,
    name,
    image_builder_key,
    state,
    reaches_internet,
    allows_imdsv1,
    allows_agents,
    uploads_screenshots,
    has_ipv6,
    is_reached_publicly,
    coalesce(reaches_internet, false)::bigint
    + coalesce(allows_imdsv1, false)::bigint
    + allows_agents::bigint
    + has_ipv6::bigint as exposures,
    concat_ws(
        ', ',
        case when reaches_internet then 'internet' end,
        case when allows_imdsv1 then 'imdsv1' end,
        case when allows_agents then 'agents' end,
        case when has_ipv6 then 'ipv6' end
    ) as exposed_by,
    is_stale,
    observed_at
from ways
