-- not_seen: Is everything seen
-- question: In which accounts were scopes not seen, why, how many, and how old are the rows that they show?
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
),

unseen as (
    select
        coalesce(c.account_name, c.account_id) as account,
        c.status,
        case when c.is_expected then 'expected' when c.is_stale then 'stale' end as note,
        c.is_expected,
        c.region,
        c.resource,
        case when c.resource = 'image_builders' then coalesce(b.builders, 0) end as builders,
        hours_between(c.observed_at, n.committed_at) as hours_old
    from coverage as c
    cross join newest as n
    left join builders as b
        on c.account_id = b.account_id and c.region = b.region and c.resource = 'image_builders'
    where c.status not in ('ok', 'filtered') and ($expected or not c.is_expected)
)

-- One row per account and reason; the view coverage has the scopes.
select
    account,
    status,
    note,
    count(*) as scopes,
    case
        when count(distinct region) <= 2 then string_agg(distinct region, ', ' order by region)
        else format('{} and {} more', min(region), count(distinct region) - 1)
    end as region,
    case
        when count(distinct resource) = 1 then min(resource)
        else format('{} and {} more', min(resource), count(distinct resource) - 1)
    end as resource,
    sum(builders)::bigint as builders,
    round(max(hours_old), 1) as hours_old
from unseen
group by account, status, note, is_expected
order by is_expected, hours_old desc nulls first, account, status
