-- stale_scopes: Scopes whose newest attempt failed or was skipped, so that they show older rows.
-- severity: warn
-- reads: coverage
select
    resource,
    account_id,
    account_name,
    region,
    status,
    reason,
    observed_at
from coverage
where is_stale and not is_expected and observed_at is not null
