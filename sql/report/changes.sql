-- changes: One row per image builder and column that changed in the last eight days, the newest first, without builders
--   seen for the first time; at most 1,000. `found` is how many there are.
-- reads: fact_image_builder_change, fact_export_run
-- newest_months: 2
-- question: What changed since last week?
with newest as (
    select max(committed_at_utc) as as_of_utc
    from fact_export_run
)

select
    c.image_builder_key,
    c.observed_at_utc as observed_at,
    c.change,
    c.column_name,
    case when c.change = 'changed' then left(c.old_value, 120) end as old_value,
    case when c.change = 'changed' then left(c.new_value, 120) end as new_value,
    count(*) over () as found
from fact_image_builder_change as c
inner join newest as n on c.observed_at_utc >= n.as_of_utc - interval 8 day
where c.change <> 'first_seen'
order by c.observed_at_utc desc, c.image_builder_key, c.column_name, c.change
limit 1000
