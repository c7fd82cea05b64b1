-- stuck: Stuck
-- question: Which image builders have been in a state that should pass within minutes for at least `minutes` minutes?
-- reads: image_builder_state_spans
-- param minutes: integer = 25 -- Minimum number of minutes, as seen: a lower bound.
-- param top: integer = 50 -- Maximum number of rows, the longest first.
-- chart: minutes by name, account
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    state,
    first_observed_at as since,
    round(hours_at_least * 60) as minutes,
    case when is_stale then 'stale' end as note
from image_builder_state_spans
where
    is_current
    and state in ('PENDING', 'UPDATING_AGENT', 'SNAPSHOTTING')
    and hours_at_least * 60 >= $minutes
order by minutes desc, account, region, name
limit $top
