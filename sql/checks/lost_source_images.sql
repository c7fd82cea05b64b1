-- lost_source_images: Image builders made from an image that exists no more: they cannot be made again.
-- severity: warn
-- reads: image_builder_lineage
select distinct
    account_id,
    account_name,
    region,
    name,
    source_image_arn
from image_builder_lineage
where is_source_gone
