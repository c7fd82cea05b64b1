-- orphan_children: Rows of lists whose image builder is not there.
-- severity: error
-- reads: image_builders, image_builder_subnets, image_builder_security_groups, image_builder_errors,
--   image_builder_endpoints, image_builder_ipv6_addresses, image_builder_agent_settings
with children as (
    select
        'image_builder_subnets' as table_name,
        account_id,
        region,
        image_builder_name as name,
        position
    from image_builder_subnets
    union all
    select
        'image_builder_security_groups' as table_name,
        account_id,
        region,
        image_builder_name as name,
        position
    from image_builder_security_groups
    union all
    select
        'image_builder_errors' as table_name,
        account_id,
        region,
        image_builder_name as name,
        position
    from image_builder_errors
    union all
    select
        'image_builder_endpoints' as table_name,
        account_id,
        region,
        image_builder_name as name,
        position
    from image_builder_endpoints
    union all
    select
        'image_builder_ipv6_addresses' as table_name,
        account_id,
        region,
        image_builder_name as name,
        position
    from image_builder_ipv6_addresses
    union all
    select
        'image_builder_agent_settings' as table_name,
        account_id,
        region,
        image_builder_name as name,
        position
    from image_builder_agent_settings
)

select
    c.table_name,
    c.account_id,
    c.region,
    c.name,
    c.position
from children as c
anti join image_builders as b on c.account_id = b.account_id and c.region = b.region and c.name = b.name
