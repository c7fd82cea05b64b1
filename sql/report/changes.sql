-- changes: One row per image builder and column that changed in the last eight days, the newest first, without builders
--   seen for the first time; at most 1,000. `older` is how many are left out.
-- reads: image_builder_changes_history, snapshots
-- question: What changed since last week?
with newest as (
    select max(committed_at) as as_of
    from snapshots
    where kind = 'sweep'
)

select
    c.image_builder_key,
    c.observed_at,
    c.change,
    c.column_name,
    case when c.change = 'changed' then left(c.old_value, 120) end as old_value,
    case when c.change = 'changed' then left(c.new_value, 120) end as new_value,
    count(*) over () as found
from image_builder_changes_history as c
inner join newest as n on c.observed_at >= n.as_of - interval 8 day
where c.change <> 'first_seen'
order by c.observed_at desc, c.image_builder_key, c.column_name
limit 1000
