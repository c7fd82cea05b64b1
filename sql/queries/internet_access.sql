-- internet_access: Internet access
-- question: Which image builders reach the internet without the VPC's own routes?
-- reads: exposure
-- param unknown: boolean = false -- Also those of which AWS does not say.
-- param top: integer = 50 -- At most so many, the most exposed first.
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    exposed_by
from exposure
where reaches_internet or ($unknown and reaches_internet is null)
order by exposures desc, account, region, name
limit $top
