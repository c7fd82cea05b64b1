-- cost_per_tag: Cost per tag
-- question: What did the image builders with each value of a tag cost, at least?
-- reads: image_builder_daily, image_builders, resource_tags, snapshots
-- param tag: text = owner -- Key of the tag, as it is spelled.
-- values tag: select distinct tag_key from resource_tags
-- param days: integer = 30 -- Number of days, up to and including the newest snapshot's.
with newest as (
    select max(utc_day(committed_at)) as day
    from snapshots
    where kind = 'sweep'
),

chosen as (
    select
        account_id,
        region,
        tagged_resource_arn,
        tag_value
    from resource_tags
    where tag_key = $tag
),

tagged as (
    select
        b.account_id,
        b.region,
        b.name,
        c.tag_value
    from image_builders as b
    inner join chosen as c on b.account_id = c.account_id and b.region = c.region and b.arn = c.tagged_resource_arn
)

select
    t.tag_value as value,
    count(distinct d.account_id) as accounts,
    count(distinct row(d.account_id, d.region, d.name)) as builders,
    round(sum(d.running_hours_at_least), 1) as hours,
    sum(d.cost_usd_at_least)::decimal(18, 2) as usd,
    count(distinct row(d.account_id, d.region, d.name)) filter (not d.is_priced) as unpriced
from image_builder_daily as d
cross join newest as n
left join tagged as t on d.account_id = t.account_id and d.region = t.region and d.name = t.name
where d.day > n.day - $days
group by value
order by usd desc nulls last, value
