-- what_changed: What changed
-- question: What changed in the last days?
-- reads: image_builder_changes_history, snapshots
-- param days: integer = 7 -- Number of days back from the newest snapshot.
with newest as (
    select max(committed_at) as committed_at
    from snapshots
    where kind = 'sweep'
)

select
    c.change,
    coalesce(c.column_name, '(whole)') as what,
    count(*) as changes,
    min(c.name) as example
from image_builder_changes_history as c
cross join newest as n
where c.observed_at >= n.committed_at - to_days($days)
group by c.change, what
order by changes desc, c.change, what
