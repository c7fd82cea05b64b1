-- builder_tags: One row per image builder and tag, and one without a tag per builder whose tags are known and that has
--   none.
-- reads: image_builders, resource_tags, scope_runs
-- question: Which tags have image builders?
select
    b.image_builder_key,
    t.tag_key,
    t.tag_value
from image_builders as b
left join resource_tags as t
    on b.account_id = t.account_id and b.region = t.region and b.arn = t.tagged_resource_arn
semi join scope_runs as r
    on b.account_id = r.account_id and b.region = r.region and r.resource = 'tags' and r.observed_at is not null
order by b.image_builder_key, t.tag_key
