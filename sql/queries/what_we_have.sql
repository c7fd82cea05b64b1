-- what_we_have: What exists
-- question: How many image builders does each account have, and in which states?
-- reads: image_builder_overview
-- param top: integer = 50 -- Maximum number of accounts, those with the most builders first.
select
    coalesce(account_name, account_id) as account,
    count(*) as builders,
    count(distinct region) as regions,
    count(*) filter (state = 'RUNNING') as running,
    count(*) filter (state = 'STOPPED') as stopped,
    count(*) filter (state = 'FAILED') as failed,
    count(*) filter (is_stale) as stale
from image_builder_overview
group by account_id, account_name
order by builders desc, account
limit $top
