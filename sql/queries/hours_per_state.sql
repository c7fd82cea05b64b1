-- hours_per_state: Hours per state
-- question: How many hours did image builders spend in each state, at least?
-- reads: image_builder_state_spans, snapshots
-- param days: integer = 30 -- Number of days back from the newest snapshot.
-- chart: hours_at_least by state
with newest as (
    select
        max(committed_at) as until_at,
        max(committed_at) - to_days($days) as from_at
    from snapshots
    where kind = 'sweep'
),

clipped as (
    select
        s.account_id,
        s.region,
        s.name,
        s.state,
        s.is_active,
        hours_between(greatest(s.first_observed_at, n.from_at), s.last_observed_at) as hours
    from image_builder_state_spans as s
    cross join newest as n
    where s.last_observed_at >= n.from_at
)

select
    state,
    is_active as costs,
    count(*) as spans,
    count(distinct row(account_id, region, name)) as builders,
    round(sum(hours), 1) as hours_at_least
from clipped
group by state, is_active
order by hours_at_least desc, state
