-- groups_most_used: Security groups most used
-- question: Which security groups do most image builders have?
-- reads: image_builder_security_groups, image_builders
-- param top: integer = 20 -- Maximum number of rows.
select
    g.security_group_id,
    count(distinct row(b.account_id, b.region, b.name)) as builders,
    count(distinct row(b.account_id, b.region, b.name)) filter (b.state = 'RUNNING') as running,
    min(coalesce(b.account_name, b.account_id)) as account,
    min(b.name) as example
from image_builder_security_groups as g
inner join image_builders as b
    on g.account_id = b.account_id and g.region = b.region and g.image_builder_name = b.name
group by g.security_group_id
order by builders desc, g.security_group_id
limit $top
