-- exposure_by_way: One row per way in or out and whether the builders with it are up.
-- reads: exposure
-- question: How many builders are open in which way?
with ways as (
    select
        if(state in ('PENDING', 'UPDATING_AGENT', 'RUNNING', 'REBOOTING'), 'up', 'down') as standing,
        unnest([
            if(reaches_internet, 'direct internet access', null),
            if(allows_imdsv1, 'IMDSv1 answers', null),
            if(allows_agents, 'AI agents allowed', null),
            if(has_ipv6, 'IPv6 address', null)
        ]) as way
    from exposure
)

select
    way,
    standing,
    count(*) as builders
from ways
where way is not null
group by all
order by way, standing
