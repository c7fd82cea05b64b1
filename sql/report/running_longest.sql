-- running_longest: One row per builder that is up now, those up longest first; at most 20.
-- reads: running_image_builders, accounts
-- question: Which builders have been running longest, and what has that cost?
with named_accounts as (
    select
        account_id,
        case
            when account_name is null then account_id
            when count(*) over (partition by account_name) > 1 then account_name || ' ' || account_id
            else account_name
        end as account
    from accounts
)

select
    r.name,
    coalesce(a.account, r.account_id) as account,
    r.region,
    r.instance_type,
    r.running_hours_at_least as hours,
    r.cost_usd_at_least::double as usd,
    r.usd_per_hour::double as usd_per_hour,
    r.is_stale
from running_image_builders as r
left join named_accounts as a on r.account_id = a.account_id
order by hours desc, usd desc nulls last, account, r.region, r.name
limit 20
