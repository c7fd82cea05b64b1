-- builders_by_account: One row per account and state, for the 20 accounts with the most builders.
-- reads: image_builders, accounts
-- question: Who has how many builders?
with named_accounts as (
    select
        account_id,
        case
            when account_name is null then account_id
            when count(*) over (partition by account_name) > 1 then account_name || ' ' || account_id
            else account_name
        end as account
    from accounts
),

top as (
    select account_id
    from image_builders
    group by account_id
    order by count(*) desc, account_id
    limit 20
)

select
    coalesce(a.account, b.account_id) as account,
    coalesce(b.state, 'unknown') as state,
    count(*) as builders
from image_builders as b
semi join top on b.account_id = top.account_id
left join named_accounts as a on b.account_id = a.account_id
group by all
order by account, state
