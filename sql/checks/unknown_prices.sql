-- unknown_prices: Kinds of image builders that the price list lacks; no rows without a price list.
-- severity: warn
-- reads: image_builders, prices
with kinds as (
    select
        region,
        instance_type,
        platform,
        utc_day(observed_at) as day,
        coalesce(root_volume_size_gb, 200) > 200 as has_paid_disk,
        count(*) as builders
    from image_builders
    group by all
),

-- A price for each kind and not for each builder: it takes an eighth of the time.
priced as (
    select
        *,
        price_at(region, instance_type, platform, day) as price
    from kinds
)

select
    region,
    instance_type,
    platform,
    sum(builders)::bigint as builders
from priced
where
    (price.usd_per_hour is null or (has_paid_disk and price.disk_usd_per_gb_month is null))
    and exists (select 1 from prices)
group by all
