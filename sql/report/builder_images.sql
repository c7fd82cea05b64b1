-- builder_images: One row per image builder: the image that it was made from.
-- reads: image_builder_lineage
-- question: How old is the image of each image builder, and does it still exist?
select distinct
    concat_ws('/', account_id, region, name) as image_builder_key,
    source_image_owner,
    source_image_age_days,
    is_source_gone
from image_builder_lineage
order by image_builder_key
