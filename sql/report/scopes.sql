-- scopes: One row per resource, account and region: the outcome of the newest attempt to read it.
-- reads: dim_scope, dim_account
-- question: What was not seen, and why?
select
    s.resource,
    s.account_id,
    a.account_name,
    s.region,
    s.status,
    s.reason,
    s.is_expected,
    s.attempted_at_utc as attempted_at,
    s.observed_at_utc as observed_at
from dim_scope as s
left join dim_account as a on s.account_id = a.account_id
order by s.resource, s.account_id, s.region
