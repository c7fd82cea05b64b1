-- coverage_holes: Scopes that never answered completely and whose failure is not expected: they have no rows.
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
