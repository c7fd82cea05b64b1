-- not_seen: Is everything seen
-- question: Which scopes were not seen, why, and how old are the rows that they show?
-- reads: coverage, image_builders, snapshots
-- param expected: boolean = true -- Include those that are expected.
with newest as (
    select max(committed_at) as committed_at
    from snapshots
    where kind = 'sweep'
),

builders as (
    select
        account_id,
        region,
        count(*) as builders
    from image_builders
    group by all
)

select
    coalesce(c.account_name, c.account_id) as account,
    c.region,
    c.status,
    case when c.is_expected then 'expected' when c.is_stale then 'stale' end as note,
    case when c.resource = 'image_builders' then coalesce(b.builders, 0) end as builders,
    round(hours_between(c.observed_at, n.committed_at), 1) as hours_old,
    c.resource
from coverage as c
cross join newest as n
left join builders as b on c.account_id = b.account_id and c.region = b.region and c.resource = 'image_builders'
where c.status not in ('ok', 'filtered') and ($expected or not c.is_expected)
order by c.is_expected, hours_old desc nulls first, account, c.region, c.resource
