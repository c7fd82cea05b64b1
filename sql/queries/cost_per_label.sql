-- cost_per_label: Cost per label
-- question: What did the image builders of each team (or another label of accounts) cost, at least?
-- reads: image_builder_daily, accounts, snapshots
-- param label: text = team -- A column of accounts.csv.
-- values label: select distinct unnest(json_keys(labels_json)) from accounts
-- param days: integer = 30 -- Number of days, up to and including the newest snapshot's.
with newest as (
    select max(utc_day(committed_at)) as day
    from snapshots
    where kind = 'sweep'
)

select
    json_extract_string(a.labels_json, $label) as label,
    count(distinct d.account_id) as accounts,
    count(distinct row(d.account_id, d.region, d.name)) as builders,
    round(sum(d.running_hours_at_least), 1) as hours,
    sum(d.cost_usd_at_least)::decimal(18, 2) as usd,
    count(distinct row(d.account_id, d.region, d.name)) filter (not d.is_priced) as unpriced
from image_builder_daily as d
cross join newest as n
left join accounts as a on d.account_id = a.account_id
where d.day > n.day - $days
group by label
order by usd desc nulls last, label
