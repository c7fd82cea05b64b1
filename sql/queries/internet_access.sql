-- internet_access: Internet access
-- question: Which image builders reach the internet without the VPC's own routes?
-- reads: exposure
-- param unknown: boolean = false -- Include builders for which AWS does not report it.
-- param top: integer = 50 -- Maximum number of rows, the most exposed first.
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    exposed_by
from exposure
where reaches_internet or ($unknown and reaches_internet is null)
order by exposures desc, account, region, name
limit $top
