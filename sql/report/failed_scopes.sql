-- failed_scopes: One row per resource, account and region that did not answer, those unseen longest first, then those
--   that no run has requested; at most 1,000.
-- reads: coverage
-- question: What was not seen, and why?
select
    coalesce(account_name, account_id) as account,
    region,
    status,
    reason,
    observed_at as last_seen,
    resource
from coverage
where (status not in ('ok', 'filtered', 'skipped') and not is_expected) or attempted_at is null
order by attempted_at is null, last_seen nulls first, account, region, resource
limit 1000
