-- tag_values: Values of a tag
-- question: Which values does a tag have on AppStream resources of all kinds, and on how many of each?
-- reads: tagged_resources
-- param tag: text = owner -- Key of the tag, as it is spelled.
-- values tag: select distinct tag_key from tagged_resources
-- param top: integer = 50 -- Maximum number of rows, the most resources first.
-- chart: resources by value, kind
select
    tag_value as value,
    kind,
    count(distinct account_id) as accounts,
    count(*) as resources
from tagged_resources
where tag_key = $tag
group by all
order by resources desc, value, kind
limit $top
