-- who_uses: Who uses it
-- question: Which image builders use this subnet or this security group?
-- reads: image_builder_network
-- param id: text = -- How the id begins, such as subnet-0ab or sg-1; every one when empty.
-- param top: integer = 50 -- Maximum number of rows.
with used as (
    select
        account_id,
        account_name,
        region,
        name,
        state,
        unnest([subnet_id, security_group_id]) as id
    from image_builder_network
)

select distinct
    id,
    coalesce(account_name, account_id) as account,
    region,
    name,
    state
from used
where id is not null and starts_with(id, $id)
order by id, account, region, name
limit $top
