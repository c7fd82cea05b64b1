-- made_from_old_images: Made from old images
-- question: Which image builders were made from an image that is older than `days` days?
-- reads: image_builder_lineage
-- param days: integer = 180 -- Minimum age of the public image below it, or else of the image itself.
-- param top: integer = 50 -- Maximum number of rows, the oldest first.
-- chart: days by name, account
select distinct
    coalesce(account_name, account_id) as account,
    region,
    name,
    state,
    source_image_owner as image_owner,
    source_image_name as image,
    source_image_age_days as days,
    case when is_stale then 'stale' end as note
from image_builder_lineage
where source_image_age_days >= $days
order by days desc, account, region, name
limit $top
