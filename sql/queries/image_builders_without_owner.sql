-- image_builders_without_owner: Without owner
-- question: Which image builders have no owner, neither by a tag of theirs nor by a label of their account?
-- reads: image_builder_overview, image_builder_daily, accounts, resource_tags, scope_runs, snapshots
-- param tag: text = owner -- Key of the tag, as it is spelled.
-- values tag: select distinct tag_key from resource_tags
-- param label: text = -- A column of accounts.csv that names owners too; empty for none.
-- values label: select distinct unnest(json_keys(labels_json)) from accounts
-- param days: integer = 30 -- Number of days of which the cost is shown, up to and including the newest snapshot's.
-- param top: integer = 50 -- Maximum number of rows, the most expensive first.
-- chart: usd by name, account
with newest as (
    select max(utc_day(committed_at)) as day
    from snapshots
    where kind = 'sweep'
),

owned as (
    select
        account_id,
        region,
        tagged_resource_arn
    from resource_tags
    where tag_key = $tag and trim(tag_value) <> ''
),

costs as (
    select
        d.image_builder_key,
        sum(d.cost_usd_at_least) as usd
    from image_builder_daily as d
    cross join newest as n
    where d.day > n.day - $days
    group by d.image_builder_key
)

select
    coalesce(b.account_name, b.account_id) as account,
    b.region,
    b.name,
    b.state,
    utc_day(b.created_time) as created,
    c.usd::decimal(18, 2) as usd
from image_builder_overview as b
left join costs as c on b.image_builder_key = c.image_builder_key
-- Only where the tags of the scope are known.
semi join scope_runs as r
    on b.account_id = r.account_id and b.region = r.region and r.resource = 'tags' and r.status = 'ok'
anti join owned as o on b.account_id = o.account_id and b.region = o.region and b.arn = o.tagged_resource_arn
where $label = '' or coalesce(json_extract_string(b.labels_json, $label), '') = ''
order by c.usd desc nulls last, account, b.region, b.name
limit $top
