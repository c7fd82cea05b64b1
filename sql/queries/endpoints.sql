-- endpoints: Endpoints
-- question: Through which VPC endpoints are image builders reached?
-- reads: image_builder_endpoints
-- param top: integer = 50 -- Maximum number of rows, those with the most builders first.
select
    vpce_id,
    endpoint_type,
    min(coalesce(account_name, account_id)) as account,
    min(region) as region,
    count(distinct row(account_id, region, image_builder_name)) as builders,
    min(image_builder_name) as example
from image_builder_endpoints
group by vpce_id, endpoint_type
order by builders desc, vpce_id, endpoint_type
limit $top
