-- scopes: One row per resource, account and region: the outcome of the newest attempt to read it.
-- reads: coverage
-- question: What was not seen, and why?
select
    resource,
    account_id,
    account_name,
    region,
    status,
    reason,
    is_expected,
    attempted_at,
    observed_at
from coverage
order by resource, account_id, region
