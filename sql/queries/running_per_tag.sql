-- running_per_tag: Running, by tag
-- question: Whose image builders have been up for at least `hours` hours, by a tag, and which of them may?
-- reads: running_image_builders, image_builders, resource_tags
-- param tag: text = owner -- Key of the tag that names who owns a builder.
-- values tag: select distinct tag_key from resource_tags
-- param skip: text = Skip_Stop -- Key of the tag that exempts a builder from being stopped.
-- param hours: integer = 24 -- Minimum number of hours, as seen: a lower bound.
-- param top: integer = 50 -- Maximum number of rows, the longest first.
-- chart: hours by name, account
with chosen as (
    select
        account_id,
        region,
        tagged_resource_arn,
        max(tag_value) filter (tag_key = $tag) as tag_value,
        bool_or(tag_key = $skip) as is_exempt
    from resource_tags
    group by all
),

tags as (
    select
        b.account_id,
        b.region,
        b.name,
        c.tag_value,
        c.is_exempt
    from image_builders as b
    inner join chosen as c on b.account_id = c.account_id and b.region = c.region and b.arn = c.tagged_resource_arn
)

select
    t.tag_value,
    coalesce(r.account_name, r.account_id) as account,
    r.region,
    r.name,
    round(r.running_hours_at_least, 1) as hours,
    r.cost_usd_at_least::decimal(18, 2) as usd,
    coalesce(t.is_exempt, false) as is_exempt
from running_image_builders as r
left join tags as t on r.account_id = t.account_id and r.region = t.region and r.name = t.name
where r.running_hours_at_least >= $hours
order by r.running_hours_at_least desc, usd desc nulls last, account, r.region, r.name
limit $top
