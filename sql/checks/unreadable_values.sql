-- unreadable_values: Items, elements and values that could not be read: quarantine.
-- severity: warn
-- reads: quarantine
select
    resource,
    account_id,
    region,
    item_name,
    path,
    level,
    reason
from quarantine
