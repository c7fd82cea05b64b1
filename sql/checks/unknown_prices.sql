-- unknown_prices: Kinds of image builders that the price list lacks; no rows without a price list.
-- severity: warn
-- reads: image_builder_overview, prices
select
    o.region,
    o.instance_type,
    o.platform,
    count(*) as builders
from image_builder_overview as o
where
    (o.usd_per_hour is null or o.disk_usd_per_month is null)
    and exists (select 1 from prices)
group by all
