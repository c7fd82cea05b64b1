-- untagged: Untagged
-- question: Which image builders have no tag `tag`, or no tag at all?
-- reads: image_builders, resource_tags, scope_runs
-- param tag: text = -- Key of the tag, as it is spelled; empty for any tag.
-- values tag: select distinct tag_key from resource_tags
-- param top: integer = 50 -- Maximum number of rows.
with chosen as (
    select
        account_id,
        region,
        tagged_resource_arn
    from resource_tags
    where $tag in ('', tag_key)
)

select
    coalesce(b.account_name, b.account_id) as account,
    b.region,
    b.name,
    b.state,
    utc_day(b.created_time) as created
from image_builders as b
-- Only where the tags of the scope are known.
semi join scope_runs as r
    on b.account_id = r.account_id and b.region = r.region and r.resource = 'tags' and r.status = 'ok'
anti join chosen as c on b.account_id = c.account_id and b.region = c.region and b.arn = c.tagged_resource_arn
order by account, b.region, b.name
limit $top
