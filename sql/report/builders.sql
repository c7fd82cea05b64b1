-- builders: One row per image builder that exists, or that existed in this month or the last: all that is known of it
--   now. A builder that is gone has only what its last answers showed.
-- reads: image_builder_state_spans, image_builder_overview, running_image_builders, exposure, agent_currency,
--   snapshots
-- question: Which image builders are there, how are they, and what do they cost?
with months as (
    select date_trunc('month', max(utc_day(committed_at))) - interval 1 month as first_day
    from snapshots
    where kind = 'sweep'
),

lives as (
    select
        image_builder_key,
        account_id,
        region,
        name,
        arg_max(instance_type, first_observed_at) as instance_type,
        arg_max(platform, first_observed_at) as platform,
        arg_max(root_volume_size_gb, first_observed_at) as root_volume_size_gb,
        arg_max(created_time, first_observed_at) as created_time,
        arg_max(ended_by, first_observed_at) filter (ended_by is distinct from 'changed') as ended_by,
        max(first_observed_at) as state_since,
        arg_max(hours_at_least, first_observed_at) as state_hours,
        min(first_observed_at) as first_observed_at,
        max(last_observed_at) as last_observed_at,
        max(active_until) as last_up_at,
        count(*) filter (state = 'FAILED') as times_failed
    from image_builder_state_spans
    group by all
)

select
    l.image_builder_key,
    l.account_id,
    l.region,
    l.name,
    o.name is null as is_gone,
    case when o.name is null then coalesce(l.ended_by, 'lost') end as ended_by,
    o.state,
    coalesce(o.instance_type, l.instance_type) as instance_type,
    coalesce(o.platform, l.platform) as platform,
    coalesce(o.root_volume_size_gb, l.root_volume_size_gb) as root_volume_size_gb,
    coalesce(o.created_time, l.created_time) as created_time,
    l.state_since,
    l.state_hours,
    l.first_observed_at,
    l.last_observed_at,
    l.last_up_at,
    l.times_failed,
    coalesce(o.is_stale, false) as is_stale,
    o.display_name,
    o.description,
    o.image_arn,
    o.iam_role_arn,
    o.directory_name,
    o.subnet_ids,
    o.security_group_ids,
    o.vpce_ids,
    o.ipv6_addresses,
    o.eni_private_ip_address,
    o.enable_default_internet_access,
    o.disable_imdsv1,
    o.appstream_agent_version,
    a.is_latest as is_latest_agent,
    a.agent_age_days,
    x.exposed_by,
    r.name is not null as is_running,
    r.running_hours_at_least,
    r.cost_usd_at_least::double as running_usd_at_least,
    coalesce(r.usd_per_hour, o.usd_per_hour)::double as usd_per_hour,
    o.disk_usd_per_month::double as disk_usd_per_month
from lives as l
cross join months as m
left join image_builder_overview as o on l.image_builder_key = o.image_builder_key
left join running_image_builders as r on l.image_builder_key = r.image_builder_key
left join exposure as x on l.image_builder_key = x.image_builder_key
left join agent_currency as a on l.image_builder_key = a.image_builder_key
where o.name is not null or utc_day(l.last_observed_at) >= m.first_day
order by l.account_id, l.region, l.name
