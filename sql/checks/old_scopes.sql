-- old_scopes: Scopes that AWS last answered more than 2.5 times [lake] freshness_interval (a day if unset), or the
--   resource's cadence if that is longer, before the newest snapshot.
-- severity: warn
-- reads: coverage, snapshots, scope_limits
with newest as (
    select max(committed_at) as committed_at
    from snapshots
)

select
    c.resource,
    c.account_id,
    c.account_name,
    c.region,
    c.status,
    c.observed_at,
    round(hours_between(c.observed_at, n.committed_at), 1) as age_hours
from coverage as c
cross join newest as n
inner join scope_limits as l on c.resource = l.resource
where not c.is_expected and hours_between(c.observed_at, n.committed_at) > l.scope_hours
