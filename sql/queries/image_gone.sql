-- image_gone: Image gone
-- question: Which image builders were made from an image that exists no more, so that they cannot be made again?
-- reads: image_builder_lineage
-- param top: integer = 50 -- Maximum number of rows.
select distinct
    coalesce(account_name, account_id) as account,
    region,
    name,
    state,
    source_image_owner as image_owner,
    source_image_name as image,
    case when is_stale then 'stale' end as note
from image_builder_lineage
where is_source_gone
order by account, region, name
limit $top
