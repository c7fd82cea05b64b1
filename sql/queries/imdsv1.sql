-- imdsv1: Instance metadata, version 1
-- question: On which image builders does version 1 of the instance metadata service answer?
-- reads: exposure
-- param unknown: boolean = false -- Include builders for which AWS does not report it.
-- param top: integer = 50 -- Maximum number of rows, the most exposed first.
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    exposed_by
from exposure
where allows_imdsv1 or ($unknown and allows_imdsv1 is null)
order by exposures desc, account, region, name
limit $top
