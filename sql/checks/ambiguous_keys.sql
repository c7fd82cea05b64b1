-- ambiguous_keys: Items that came in one page under one key with different content: the contract's key does not
--   identify them. They are in quarantine; correct the key of the resource's contract.
-- severity: error
-- feeds: publish
-- reads: quarantine
select
    resource,
    account_id,
    region,
    item_name,
    reason
from quarantine
where level = 'item' and reason like 'ambiguous key:%'
