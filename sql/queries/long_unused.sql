-- long_unused: Long unused
-- question: Which image builders have not been up for at least so many days?
-- reads: image_builder_state_spans, snapshots
-- param days: integer = 30 -- At least so many days; before the first snapshot nothing is known.
-- param top: integer = 50 -- At most so many, the longest first.
with newest as (
    select max(committed_at) as committed_at
    from snapshots
    where kind = 'sweep'
),

lives as (
    select
        account_id,
        account_name,
        region,
        name,
        life,
        max(created_time) as created_time,
        coalesce(max(active_until), min(first_observed_at)) as unused_since
    from image_builder_state_spans
    group by all
    having bool_or(is_current) and not bool_or(is_current and is_active)
)

select
    coalesce(l.account_name, l.account_id) as account,
    l.region,
    l.name,
    utc_day(l.created_time) as created,
    round(hours_between(l.unused_since, n.committed_at) / 24, 1) as days
from lives as l
cross join newest as n
where hours_between(l.unused_since, n.committed_at) >= 24 * $days
order by l.unused_since, created, account, l.region, l.name
limit $top
