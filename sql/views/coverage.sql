-- coverage: One row per resource, account and region: whether its newest rows can be trusted, and how old they are.
-- reads: scope_runs, accounts
-- resource: Resource that was asked for, such as image_builders.
-- account_id: AWS account, 12 digits.
-- account_name: Name of the account; null when neither settings nor organization have one.
-- region: AWS region.
-- status: ok, filtered, skipped, or why the newest attempt failed.
-- reason: The failure in words; null when ok.
-- error_code: AWS's error code; null when AWS gave none.
-- is_stale: The newest attempt failed or was skipped: rows, if any, are of observed_at.
-- is_expected: The failure is by design and counts for nothing.
-- attempted_at: When the newest attempt began; null when never asked.
-- observed_at: When AWS last answered completely; null if never.
-- age_hours: Hours since observed_at, now; null if never.
select
    r.resource,
    r.account_id,
    a.account_name,
    r.region,
    r.status,
    r.reason,
    r.error_code,
    r.is_stale,
    r.is_expected,
    r.attempted_at,
    r.observed_at,
    round((epoch(now()) - epoch(r.observed_at)) / 3600, 1) as age_hours
from scope_runs as r
left join accounts as a on r.account_id = a.account_id
