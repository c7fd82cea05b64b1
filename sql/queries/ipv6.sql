-- ipv6: IPv6 addresses
-- question: Which image builders have IPv6 addresses?
-- reads: image_builder_ipv6_addresses
-- param top: integer = 50 -- Maximum number of rows.
select
    coalesce(account_name, account_id) as account,
    region,
    image_builder_name as name,
    string_agg(ipv6_address, ', ' order by position) as ipv6_addresses
from image_builder_ipv6_addresses
group by account_id, account_name, region, image_builder_name
order by account, region, name
limit $top
