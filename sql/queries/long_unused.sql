-- long_unused: Long unused
-- question: Which image builders have not been seen up for at least `days` days?
-- reads: image_builder_state_spans
-- param days: integer = 30 -- Minimum number of days; nothing is known from before the first snapshot.
-- param top: integer = 50 -- Maximum number of rows, the longest first.
-- chart: days by name, account
with lives as (
    select
        account_id,
        account_name,
        region,
        name,
        life,
        max(created_time) as created_time,
        coalesce(max(active_until), min(first_observed_at)) as unused_since,
        max(last_observed_at) as seen_until
    from image_builder_state_spans
    group by all
    having bool_or(is_current) and not bool_or(is_current and is_active)
)

select
    coalesce(l.account_name, l.account_id) as account,
    l.region,
    l.name,
    utc_day(l.created_time) as created,
    round(hours_between(l.unused_since, l.seen_until) / 24, 1) as days
from lives as l
where hours_between(l.unused_since, l.seen_until) >= 24 * $days
order by l.unused_since, created, account, l.region, l.name
limit $top
