-- image_builder_overview: One row per image builder in the newest snapshot, with its lists as counts and as text.
-- reads: image_builders, image_builder_subnets, image_builder_security_groups, image_builder_errors,
--   image_builder_endpoints, image_builder_ipv6_addresses, image_builder_agent_settings, accounts, scope_runs, prices
-- key: image_builder_key
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- ou_path varchar: Organizational units from the root down, joined by /; null when not discovered.
-- labels_json varchar: Labels of the account as a JSON object; null when none.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes: key of image_builders.
-- display_name varchar: Name shown to people; null where AWS reports none.
-- description varchar: Free text given by its owner; null where AWS reports none.
-- arn varchar: Amazon Resource Name of the image builder; null where AWS reports none.
-- state varchar: Lifecycle state, such as RUNNING or STOPPED; null where AWS reports none.
-- state_change_reason_code varchar: Why the state last changed; null where AWS gave no reason.
-- platform varchar: Operating system; null where AWS reports none.
-- instance_type varchar: Size, such as stream.standard.medium; null where AWS reports none.
-- image_arn varchar: Image that it was made from; null where AWS reports none.
-- created_time timestamptz: When it was created, by AWS's clock; null where AWS reports none.
-- appstream_agent_version varchar: Version of the AppStream agent on it; null where AWS reports none.
-- iam_role_arn varchar: IAM role that programs on it act as; null when it has none.
-- directory_name varchar: Active Directory domain that it joins; null when it joins none.
-- enable_default_internet_access boolean: Whether it reaches the internet without the VPC's own routes; null where AWS
--   reports none.
-- disable_imdsv1 boolean: Whether version 1 of the instance metadata service is off; null where AWS reports none.
-- root_volume_size_gb bigint: Root volume in GB; null where AWS reports none.
-- eni_private_ip_address varchar: Private IPv4 address; null where AWS reports none.
-- subnets bigint: Number of subnets it attaches to.
-- subnet_ids varchar: Their ids, sorted, separated by commas; null if none.
-- security_groups bigint: Number of its security groups.
-- security_group_ids varchar: Their ids, sorted, separated by commas; null if none.
-- errors bigint: Number of errors that AWS reports on it.
-- error_codes varchar: Distinct error codes, sorted, separated by commas; null if none.
-- last_error_at timestamptz: When the newest error occurred, by AWS's clock; null if none has a time.
-- endpoints bigint: Number of interface VPC endpoints through which it is reached.
-- vpce_ids varchar: Their ids, sorted, separated by commas; null if none.
-- ipv6_addresses bigint: Number of its IPv6 addresses.
-- agent_actions_enabled bigint: Number of actions that AI agents may take on it.
-- usd_per_hour decimal(18,6): Price per hour while it is up, by the price list; null if unknown.
-- disk_usd_per_month decimal(18,4): Price per month of its root volume above 200 GB, running or not; null if unknown.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at.
-- status varchar: ok, or why the newest attempt to read its scope failed.
-- observed_at timestamptz: When AWS returned this row.
with subnets as (
    select
        account_id,
        region,
        image_builder_name as name,
        count(*) as found,
        array_to_string(list_sort(list(subnet_id)), ', ') as listed
    from image_builder_subnets
    group by all
),

security_groups as (
    select
        account_id,
        region,
        image_builder_name as name,
        count(*) as found,
        array_to_string(list_sort(list(security_group_id)), ', ') as listed
    from image_builder_security_groups
    group by all
),

errors as (
    select
        account_id,
        region,
        image_builder_name as name,
        count(*) as found,
        array_to_string(list_sort(list(distinct error_code)), ', ') as listed,
        max(error_timestamp) as last_error_at
    from image_builder_errors
    group by all
),

endpoints as (
    select
        account_id,
        region,
        image_builder_name as name,
        count(*) as found,
        array_to_string(list_sort(list(vpce_id)), ', ') as listed
    from image_builder_endpoints
    group by all
),

addresses as (
    select
        account_id,
        region,
        image_builder_name as name,
        count(*) as found
    from image_builder_ipv6_addresses
    group by all
),

agents as (
    select
        account_id,
        region,
        image_builder_name as name,
        count(*) as found
    from image_builder_agent_settings
    where permission = 'ENABLED'
    group by all
),

builders as (
    select
        *,
        price_at(region, instance_type, platform, utc_day(observed_at)) as price,
        greatest(coalesce(root_volume_size_gb, 200) - 200, 0) as paid_gb
    from image_builders
)

select
    b.account_id,
    b.account_name,
    a.ou_path,
    a.labels_json,
    b.region,
    b.name,
    b.image_builder_key,
    b.display_name,
    b.description,
    b.arn,
    b.state,
    b.state_change_reason_code,
    b.platform,
    b.instance_type,
    b.image_arn,
    b.created_time,
    b.appstream_agent_version,
    b.iam_role_arn,
    b.directory_name,
    b.enable_default_internet_access,
    b.disable_imdsv1,
    b.root_volume_size_gb,
    b.eni_private_ip_address,
    coalesce(s.found, 0) as subnets,
    s.listed as subnet_ids,
    coalesce(g.found, 0) as security_groups,
    g.listed as security_group_ids,
    coalesce(e.found, 0) as errors,
    e.listed as error_codes,
    e.last_error_at,
    coalesce(v.found, 0) as endpoints,
    v.listed as vpce_ids,
    coalesce(i.found, 0) as ipv6_addresses,
    coalesce(w.found, 0) as agent_actions_enabled,
    b.price.usd_per_hour::decimal(18, 6) as usd_per_hour,
    (
        case when b.paid_gb > 0 then b.paid_gb * b.price.disk_usd_per_gb_month else 0 end
    )::decimal(18, 4) as disk_usd_per_month,
    b.is_stale,
    r.status,
    b.observed_at
from builders as b
left join accounts as a on b.account_id = a.account_id
left join scope_runs as r
    on b.account_id = r.account_id and b.region = r.region and r.resource = 'image_builders'
left join subnets as s on b.account_id = s.account_id and b.region = s.region and b.name = s.name
left join security_groups as g on b.account_id = g.account_id and b.region = g.region and b.name = g.name
left join errors as e on b.account_id = e.account_id and b.region = e.region and b.name = e.name
left join endpoints as v on b.account_id = v.account_id and b.region = v.region and b.name = v.name
left join addresses as i on b.account_id = i.account_id and b.region = i.region and b.name = i.name
left join agents as w on b.account_id = w.account_id and b.region = w.region and b.name = w.name
