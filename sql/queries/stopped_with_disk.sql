-- stopped_with_disk: Stopped, but paying for disk
-- question: Which image builders are not up, but pay for a root volume above 200 GB?
-- reads: image_builder_overview
-- param top: integer = 50 -- Maximum number of rows, the most expensive first.
-- chart: usd_per_month by name, account
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    state,
    root_volume_size_gb as gb,
    disk_usd_per_month::decimal(18, 2) as usd_per_month
from image_builder_overview
where root_volume_size_gb > 200 and state not in ('PENDING', 'UPDATING_AGENT', 'RUNNING', 'REBOOTING')
order by usd_per_month desc nulls last, gb desc, account, region, name
limit $top
