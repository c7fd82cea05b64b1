-- coverage_by_scope: One row per account and region: the outcome of the newest attempt.
-- reads: coverage, accounts
-- question: Is everything seen?
with accounts_told as (
    select
        account_id,
        case
            when account_name is null then account_id
            when count(*) over (partition by account_name) > 1 then account_name || ' ' || account_id
            else account_name
        end as account
    from accounts
)

select
    coalesce(a.account, c.account_id) as account,
    c.account_id,
    c.region,
    case
        when c.status in ('ok', 'filtered') then 'seen'
        when c.status = 'skipped' then 'skipped'
        when c.is_expected then 'expected'
        else 'failed'
    end as sight,
    c.status,
    c.observed_at
from coverage as c
left join accounts_told as a on c.account_id = a.account_id
where c.resource = 'image_builders'
order by account, c.account_id, c.region
