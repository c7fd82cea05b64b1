-- builder_tags: One row per image builder and tag, and one without a tag per builder whose tags are known and that has
--   none.
-- reads: image_builder_latest, resource_tags, dim_scope
-- question: Which tags have image builders?
select
    b.image_builder_key,
    t.tag_key,
    t.tag_value
from image_builder_latest as b
left join resource_tags as t
    on b.account_id = t.account_id and b.region = t.region and b.arn = t.tagged_resource_arn
semi join dim_scope as s
    on b.account_id = s.account_id and b.region = s.region and s.resource = 'tags' and s.observed_at_utc is not null
order by b.image_builder_key, t.tag_key
