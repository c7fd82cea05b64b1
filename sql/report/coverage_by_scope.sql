-- coverage_by_scope: One row per resource, account and region: the outcome of the newest attempt. If there are several
--   resources, `account` ends with the resource.
-- reads: coverage, accounts
-- question: Is everything seen?
with named_accounts as (
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
    concat_ws(
        ' ',
        coalesce(a.account, c.account_id),
        case when (select count(distinct o.resource) from coverage as o) > 1 then c.resource end
    ) as account,
    c.account_id,
    c.region,
    case
        when c.status in ('ok', 'filtered') then 'seen'
        when c.status = 'skipped' then 'skipped'
        when c.is_expected then 'expected'
        else 'failed'
    end as sight,
    c.status,
    c.observed_at,
    c.resource
from coverage as c
left join named_accounts as a on c.account_id = a.account_id
order by account, c.account_id, c.region
