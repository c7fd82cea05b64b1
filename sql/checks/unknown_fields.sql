-- unknown_fields: Fields and values that AWS sent and that no contract knows: drift.
-- severity: warn
-- reads: drift
select
    d.resource,
    d.path,
    d.kind,
    d.example,
    d.count as found
from drift as d
