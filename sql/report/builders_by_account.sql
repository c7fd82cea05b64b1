-- builders_by_account: One row per account and standing, of the 20 accounts with the most builders.
-- reads: image_builders
-- question: Who has how many builders?
with top as (
    select account_id
    from image_builders
    group by account_id
    order by count(*) desc, account_id
    limit 20
)

select
    coalesce(b.account_name, b.account_id) as account,
    coalesce(b.state, 'unknown') as state,
    count(*) as builders
from image_builders as b
semi join top on b.account_id = top.account_id
group by all
order by account, state
