-- coverage_holes: Scopes that never answered completely, and are not expected to be closed: nothing stands in for them.
-- severity: warn
-- reads: coverage
select
    resource,
    account_id,
    account_name,
    region,
    status,
    reason
from coverage
where observed_at is null and not is_expected
