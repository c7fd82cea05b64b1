-- idle_fleets: Idle fleets
-- question: Which fleets have run for days with instances that were never in use?
-- reads: fleets, fleets_history
-- param days: integer = 7 -- Number of days, up to and including the newest snapshot's.
-- param top: integer = 50 -- Maximum number of rows, the most instances first.
with newest as (
    select max(observed_at) as observed_at
    from fleets
),

used as (
    select
        h.account_id,
        h.region,
        h.name,
        max(h.in_use) as most_in_use,
        min(h.available) as least_idle,
        count(distinct h.observed_at) as answers
    from fleets_history as h
    cross join newest as n
    where h.observed_at > n.observed_at - to_days($days)
    group by h.account_id, h.region, h.name
)

select
    coalesce(f.account_name, f.account_id) as account,
    f.region,
    f.name,
    f.fleet_type,
    f.instance_type,
    f.running,
    u.most_in_use,
    u.least_idle,
    u.answers,
    case when f.is_stale then 'stale' end as note
from fleets as f
inner join used as u on f.account_id = u.account_id and f.region = u.region and f.name = u.name
where f.running > 0 and coalesce(u.most_in_use, 0) = 0
order by f.running desc, account, f.region, f.name
limit $top
