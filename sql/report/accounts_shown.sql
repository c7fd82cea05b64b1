-- accounts_shown: One row per account that the newest snapshot covers.
-- reads: dim_account
-- question: Which accounts are there, and who do they belong to?
select
    account_id,
    account_name,
    ou_path,
    labels_json
from dim_account
where is_covered
order by account_id
