-- agent_access: Access of AI agents
-- question: On which image builders may AI agents act, and how?
-- reads: image_builder_agent_settings, image_builders
-- param top: integer = 50 -- Maximum number of rows, those that allow most first.
select
    coalesce(b.account_name, b.account_id) as account,
    b.region,
    b.name,
    string_agg(distinct s.agent_action, ', ' order by s.agent_action) as actions
from image_builders as b
inner join image_builder_agent_settings as s
    on b.account_id = s.account_id and b.region = s.region and b.name = s.image_builder_name
where s.permission = 'ENABLED'
group by b.account_id, b.account_name, b.region, b.name
order by count(*) desc, account, b.region, b.name
limit $top
