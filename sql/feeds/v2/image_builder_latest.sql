-- image_builder_latest: One row per image builder of the newest snapshot, with all that is known of it: its lists as
--   counts and as text, its exposure, agent, running time, prices and run rate.
-- reads: image_builders, image_builder_overview, exposure, agent_currency, running_image_builders, image_builder_lives,
--   quarantine, feed_snapshot
-- key: image_builder_key
-- image_builder_key varchar: account_id, region, name separated by slashes.
-- image_builder_life_key varchar: image_builder_key and life separated by a slash: key of dim_image_builder.
-- scope_key varchar: Resource, account and region, separated by slashes: key of dim_scope.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- ou_path varchar: Organizational units from the root down, joined by /; null when not discovered.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- arn varchar: Amazon Resource Name of the image builder; null where AWS reports none.
-- display_name varchar: Name shown to people; null where AWS reports none.
-- description varchar: Free text given by its owner; null where AWS reports none.
-- state varchar: Lifecycle state, such as RUNNING or STOPPED; null where AWS reports none.
-- state_change_reason_code varchar: Why the state last changed, as a code; null where AWS gave no reason.
-- state_change_reason_message varchar: Why the state last changed, in words; null where AWS gave no reason.
-- platform varchar: Operating system; null where AWS reports none.
-- instance_type varchar: Size, such as stream.standard.medium; null where AWS reports none.
-- image_arn varchar: Image that it was made from; null where AWS reports none.
-- iam_role_arn varchar: IAM role that programs on it act as; null when it has none.
-- created_time_utc timestamp: When it was created, by AWS's clock; null where AWS reports none. UTC.
-- enable_default_internet_access boolean: Whether it reaches the internet without the VPC's own routes; null where AWS
--   reports none.
-- directory_name varchar: Active Directory domain that it joins; null when it joins none.
-- organizational_unit_distinguished_name varchar: Organizational unit of its computer account in that domain; null when
--   it joins none.
-- eni_id varchar: Elastic network interface in the VPC; null where AWS reports none.
-- eni_private_ip_address varchar: Private IPv4 address of that interface; null where AWS reports none.
-- appstream_agent_version varchar: Version of the AppStream agent on it; null where AWS reports none.
-- is_latest_agent boolean: Whether AWS calls that agent the newest; null where AWS reports none.
-- agent_released_on date: Release day of the agent, taken from its version; null if that has another form.
-- agent_age_days bigint: Days from agent_released_on to observed_at_utc; null if that is null.
-- root_volume_size_gb bigint: Root volume in GB; null where AWS reports none.
-- disable_imdsv1 boolean: Whether version 1 of the instance metadata service is off; null where AWS reports none.
-- agent_s3_bucket_arn varchar: Bucket that takes the screenshots of AI agents; null where AWS reports none.
-- agent_screenshots_upload_enabled boolean: Whether screenshots of AI agents are uploaded to that bucket; null where
--   AWS reports none.
-- agent_screen_resolution varchar: Screen size that AI agents see; null where AWS reports none.
-- agent_screen_image_format varchar: Image format of those screenshots; null where AWS reports none.
-- agent_user_control_mode varchar: What a person may do while an AI agent works; null where AWS reports none.
-- subnets bigint: Number of subnets it attaches to.
-- subnet_ids varchar: Their ids, sorted, separated by commas; null if none.
-- security_groups bigint: Number of its security groups.
-- security_group_ids varchar: Their ids, sorted, separated by commas; null if none.
-- errors bigint: Number of errors that AWS reports on it.
-- error_codes varchar: Distinct error codes, sorted, separated by commas; null if none.
-- last_error_at_utc timestamp: When the newest error occurred, by AWS's clock; null if none has a time. UTC.
-- endpoints bigint: Number of interface VPC endpoints through which it is reached.
-- vpce_ids varchar: Their ids, sorted, separated by commas; null if none.
-- ipv6_addresses bigint: Number of its IPv6 addresses.
-- agent_actions_enabled bigint: Number of actions that AI agents may take on it.
-- reaches_internet boolean: It reaches the internet without the VPC's own routes; null where AWS reports none.
-- allows_imdsv1 boolean: Version 1 of the instance metadata service answers; null where AWS reports none.
-- allows_agents boolean: AI agents may do something on it: any permission is ENABLED.
-- uploads_screenshots boolean: Screenshots of AI agents are uploaded to a bucket; null where AWS reports none.
-- has_ipv6 boolean: Its network interface has an IPv6 address.
-- is_reached_publicly boolean: Administrators reach it without an interface VPC endpoint.
-- exposures bigint: How many of reaches_internet, allows_imdsv1, allows_agents and has_ipv6 are true.
-- exposed_by varchar: Their names, separated by commas; empty if none is true.
-- is_running boolean: Whether it is up and costs money: PENDING, UPDATING_AGENT, RUNNING, REBOOTING.
-- running_since_utc timestamp: First answer that showed it up, with no stop seen since; null if it is not up. UTC.
-- running_hours_at_least double: From running_since_utc to the last answer that showed it up, in hours; null if it is
--   not up.
-- running_usd_at_least double: Cost of those hours in US dollars at the prices of their days; null if it is not up, or
--   a price is unknown.
-- usd_per_hour double: Price of an hour while it is up, in US dollars, by the price list; null if unknown.
-- disk_usd_per_month double: Price per month of its root volume above 200 GB in US dollars, running or not; null if
--   unknown.
-- run_rate_usd_per_day double: What it costs per day in US dollars as it is now: 24 hours if it is up, and the volume;
--   null if a price that it needs is unknown.
-- quarantined bigint: Elements of its lists and values that could not be read.
-- status varchar: ok, or why the newest attempt to read its scope failed.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at_utc.
-- observed_at_utc timestamp: When AWS returned this row. UTC.
-- extra_json varchar: Fields that AWS sent and the contract does not have, as JSON; null if none.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
with unread as (
    select
        account_id,
        region,
        item_name as name,
        count(*) as found
    from quarantine
    where resource = 'image_builders' and level <> 'item'
    group by account_id, region, item_name
),

lives as (
    select
        image_builder_key,
        image_builder_life_key
    from image_builder_lives
    where is_last_life
)

select
    b.image_builder_key,
    l.image_builder_life_key,
    concat_ws('/', 'image_builders', b.account_id, b.region) as scope_key,
    b.account_id,
    b.account_name,
    o.ou_path,
    b.region,
    b.name,
    b.arn,
    b.display_name,
    b.description,
    b.state,
    b.state_change_reason_code,
    b.state_change_reason_message,
    b.platform,
    b.instance_type,
    b.image_arn,
    b.iam_role_arn,
    utc(b.created_time) as created_time_utc,
    b.enable_default_internet_access,
    b.directory_name,
    b.organizational_unit_distinguished_name,
    b.eni_id,
    b.eni_private_ip_address,
    b.appstream_agent_version,
    a.is_latest as is_latest_agent,
    a.released_on as agent_released_on,
    a.agent_age_days,
    b.root_volume_size_gb,
    b.disable_imdsv1,
    b.agent_s3_bucket_arn,
    b.agent_screenshots_upload_enabled,
    b.agent_screen_resolution,
    b.agent_screen_image_format,
    b.agent_user_control_mode,
    o.subnets,
    o.subnet_ids,
    o.security_groups,
    o.security_group_ids,
    o.errors,
    o.error_codes,
    utc(o.last_error_at) as last_error_at_utc,
    o.endpoints,
    o.vpce_ids,
    o.ipv6_addresses,
    o.agent_actions_enabled,
    e.reaches_internet,
    e.allows_imdsv1,
    e.allows_agents,
    e.uploads_screenshots,
    e.has_ipv6,
    e.is_reached_publicly,
    e.exposures,
    e.exposed_by,
    r.image_builder_key is not null as is_running,
    utc(r.active_since) as running_since_utc,
    r.running_hours_at_least,
    r.cost_usd_at_least::double as running_usd_at_least,
    o.usd_per_hour::double as usd_per_hour,
    o.disk_usd_per_month::double as disk_usd_per_month,
    round(
        case when is_running then r.usd_per_hour * 24 else 0 end + o.disk_usd_per_month * 12 / 365, 6
    )::double as run_rate_usd_per_day,
    coalesce(u.found, 0) as quarantined,
    o.status,
    b.is_stale,
    utc(b.observed_at) as observed_at_utc,
    b.extra_json,
    f.as_of_utc,
    f.snapshot_id
from image_builders as b
inner join image_builder_overview as o on b.image_builder_key = o.image_builder_key
inner join exposure as e on b.image_builder_key = e.image_builder_key
inner join agent_currency as a on b.image_builder_key = a.image_builder_key
left join lives as l on b.image_builder_key = l.image_builder_key
left join running_image_builders as r on b.image_builder_key = r.image_builder_key
left join unread as u on b.account_id = u.account_id and b.region = u.region and b.name = u.name
cross join feed_snapshot as f
