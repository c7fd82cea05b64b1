-- coverage: One row per resource, account and region: whether its newest rows can be trusted, and how old they are.
-- reads: scope_runs, accounts
-- resource varchar: Resource that was requested, such as image_builders.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- status varchar: ok, filtered, skipped, or why the newest attempt failed.
-- reason varchar: The failure in words; null when ok.
-- error_code varchar: AWS's error code; null when AWS gave none.
-- is_stale boolean: The newest attempt failed or was skipped: rows, if any, date from observed_at.
-- is_expected boolean: The failure is expected and is not counted.
-- attempted_at timestamptz: When the newest attempt began; null if never requested.
-- discarded_at timestamptz: End of an answer that was discarded because a newer one was present; null if none.
-- observed_at timestamptz: When AWS last answered completely; null if never.
-- age_hours double: Hours from observed_at until now; null if never.
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
