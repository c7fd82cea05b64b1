-- duplicate_keys: Keys that more than one row of a table has.
-- severity: error
-- reads: image_builders, image_builder_subnets, image_builder_security_groups, image_builder_errors,
--   image_builder_endpoints, image_builder_ipv6_addresses, image_builder_agent_settings, accounts, scope_runs
with keys as (
    select
        'image_builders' as table_name,
        account_id,
        region,
        name,
        null as position
    from image_builders
    union all
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
    union all
    select
        'accounts' as table_name,
        account_id,
        null as region,
        null as name,
        null as position
    from accounts
    union all
    select
        'scope_runs' as table_name,
        account_id,
        region,
        resource as name,
        null as position
    from scope_runs
)

select
    table_name,
    account_id,
    region,
    name,
    position,
    count(*) as found
from keys
group by all
having count(*) > 1
