-- latest_changes: One row per change, the newest first, without builders seen for the first time; at most 40.
-- reads: image_builder_changes_history, accounts
-- question: What changed last?
select
    c.observed_at as seen_at,
    c.name,
    coalesce(a.account_name, c.account_id) as account,
    c.region,
    c.change,
    c.column_name as what,
    case when c.change = 'changed' then left(c.old_value, 60) end as before,
    case when c.change = 'changed' then left(c.new_value, 60) end as after
from image_builder_changes_history as c
left join accounts as a on c.account_id = a.account_id
where c.change <> 'first_seen'
order by c.observed_at desc, c.account_id, c.region, c.name, c.column_name
limit 40
