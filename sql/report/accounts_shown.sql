-- accounts_shown: One row per account that the newest snapshot covers.
-- reads: accounts
-- question: Which accounts are there, and who do they belong to?
select
    account_id,
    account_name,
    ou_path,
    labels_json
from accounts
order by account_id
