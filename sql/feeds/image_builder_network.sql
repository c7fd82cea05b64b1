-- image_builder_network: One row per image builder, subnet and security group; a builder without any has one row with
--   nulls.
-- reads: image_builder_network, feed_snapshot
-- key: row_key
-- row_key varchar: account_id, region, name, subnet_id, security_group_id separated by slashes; none for nulls.
-- image_builder_key varchar: account_id, region, name separated by slashes.
-- scope_key varchar: Resource, account and region, separated by slashes: key of coverage.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- state varchar: Current state; null where AWS reports none.
-- subnet_id varchar: Subnet that it attaches to; null if none.
-- security_group_id varchar: Security group of its network interface; null if none.
-- eni_id varchar: Elastic network interface in the VPC; null where AWS reports none.
-- eni_private_ip_address varchar: Private IPv4 address of that interface; null where AWS reports none.
-- enable_default_internet_access boolean: Whether it reaches the internet without the VPC's own routes; null where AWS
--   reports none.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at.
-- observed_at_utc timestamp: When AWS returned this row. UTC.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
select
    concat_ws(
        '/', m.image_builder_key, coalesce(m.subnet_id, 'none'), coalesce(m.security_group_id, 'none')
    ) as row_key,
    m.image_builder_key,
    concat_ws('/', 'image_builders', m.account_id, m.region) as scope_key,
    m.account_id,
    m.account_name,
    m.region,
    m.name,
    m.state,
    m.subnet_id,
    m.security_group_id,
    m.eni_id,
    m.eni_private_ip_address,
    m.enable_default_internet_access,
    m.is_stale,
    utc(m.observed_at) as observed_at_utc,
    f.as_of_utc,
    f.snapshot_id
from image_builder_network as m
cross join feed_snapshot as f
