-- running_longest: One row per builder that is up now, those up longest first; at most 20.
-- reads: running_image_builders
-- question: Which builders have been running longest, and what did that cost?
select
    name,
    coalesce(account_name, account_id) as account,
    region,
    instance_type,
    running_hours_at_least as hours,
    cost_usd_at_least::double as usd,
    usd_per_hour::double as usd_per_hour,
    is_stale
from running_image_builders
order by hours desc, usd desc nulls last, account, region, name
limit 20
