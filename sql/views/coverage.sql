-- coverage: One row per resource, account and region: whether its newest rows can be trusted, and how old they are.
-- reads: scope_runs, accounts
-- resource varchar: Resource that was asked for, such as image_builders.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- status varchar: ok, filtered, skipped, or why the newest attempt failed.
-- reason varchar: The failure in words; null when ok.
-- error_code varchar: AWS's error code; null when AWS gave none.
-- is_stale boolean: The newest attempt failed or was skipped: rows, if any, are of observed_at.
-- is_expected boolean: The failure is expected and counts for nothing.
-- attempted_at timestamptz: When the newest attempt began; null when never asked.
-- discarded_at timestamptz: When an answer ended that was discarded, for a newer one was there; null when none.
-- observed_at timestamptz: When AWS last answered completely; null if never.
-- age_hours double: Hours since observed_at, now; null if never.
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
    r.discarded_at,
    r.observed_at,
    round((epoch(now()) - epoch(r.observed_at)) / 3600, 1) as age_hours
from scope_runs as r
left join accounts as a on r.account_id = a.account_id
