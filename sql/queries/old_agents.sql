-- old_agents: Old agents
-- question: Which image builders have an AppStream agent that is not the newest, or is older than `days` days?
-- reads: agent_currency
-- param days: integer = 180 -- An agent of that age is old, even if AWS calls it the newest.
-- param top: integer = 50 -- Maximum number of rows, the oldest first.
-- chart: days by name, account
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    appstream_agent_version as agent,
    agent_age_days as days
from agent_currency
where not is_latest or agent_age_days >= $days
order by released_on nulls last, account, region, name
limit $top
