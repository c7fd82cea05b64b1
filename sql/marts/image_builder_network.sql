-- image_builder_network: One row per image builder, subnet and security group; a builder without any has one row with
--   nulls.
-- reads: image_builders, image_builder_subnets, image_builder_security_groups
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes: key of image_builders.
-- state varchar: Current state; null where AWS reports none.
-- subnet_id varchar: Subnet that it attaches to; null if none.
-- security_group_id varchar: Security group of its network interface; null if none.
-- eni_id varchar: Elastic network interface in the VPC; null where AWS reports none.
-- eni_private_ip_address varchar: Private IPv4 address of that interface; null where AWS reports none.
-- enable_default_internet_access boolean: Whether it reaches the internet without the VPC's own routes; null where AWS
--   reports none.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at.
-- observed_at timestamptz: When AWS returned this row.
with subnets as (
    select distinct
        account_id,
        region,
        image_builder_name,
        subnet_id
    from image_builder_subnets
),

groups as (
    select distinct
        account_id,
        region,
        image_builder_name,
        security_group_id
    from image_builder_security_groups
)

select
    b.account_id,
    b.account_name,
    b.region,
    b.name,
    b.image_builder_key,
    b.state,
    s.subnet_id,
    g.security_group_id,
    b.eni_id,
    b.eni_private_ip_address,
    b.enable_default_internet_access,
    b.is_stale,
    b.observed_at
from image_builders as b
left join subnets as s on b.account_id = s.account_id and b.region = s.region and b.name = s.image_builder_name
left join groups as g on b.account_id = g.account_id and b.region = g.region and b.name = g.image_builder_name
