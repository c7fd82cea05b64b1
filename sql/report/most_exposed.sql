-- most_exposed: One row per builder with the most ways in or out, those that are up first; at most 20.
-- reads: exposure
-- question: Which builders are most exposed?
select
    name,
    coalesce(account_name, account_id) as account,
    region,
    state,
    exposed_by
from exposure
where exposures > 0
order by exposures desc, state <> 'RUNNING', account, region, name
limit 20
