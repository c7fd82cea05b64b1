-- builders: One row per image builder that exists, or that existed in this month or the last: all that is known of it
--   now. A builder that is gone has only what its last answers showed.
-- reads: image_builder_latest, dim_image_builder, fact_image_builder_state_span, fact_export_run
-- question: Which image builders are there, how are they, and what do they cost?
with months as (
    select (date_trunc('month', max(day)) - interval 1 month)::date as first_day
    from fact_export_run
),

spans as (
    select
        image_builder_key,
        max(first_observed_at_utc) as state_since,
        arg_max(hours_at_least, first_observed_at_utc) as state_hours,
        min(first_observed_at_utc) as first_observed_at,
        max(last_observed_at_utc) as last_observed_at,
        max(active_until_utc) as last_up_at,
        count(*) filter (state = 'FAILED') as times_failed
    from fact_image_builder_state_span
    group by image_builder_key
)

select
    d.image_builder_key,
    d.account_id,
    d.region,
    d.name,
    b.name is null as is_gone,
    case when b.name is null then coalesce(d.ended_by, 'lost') end as ended_by,
    b.state,
    coalesce(b.instance_type, d.instance_type) as instance_type,
    coalesce(b.platform, d.platform) as platform,
    coalesce(b.root_volume_size_gb, d.root_volume_size_gb) as root_volume_size_gb,
    coalesce(b.created_time_utc, d.created_time_utc) as created_time,
    s.state_since,
    s.state_hours,
    s.first_observed_at,
    s.last_observed_at,
    s.last_up_at,
    s.times_failed,
    coalesce(b.is_stale, false) as is_stale,
    b.display_name,
    b.description,
    b.image_arn,
    b.iam_role_arn,
    b.directory_name,
    b.subnet_ids,
    b.security_group_ids,
    b.vpce_ids,
    b.ipv6_addresses,
    b.eni_private_ip_address,
    b.enable_default_internet_access,
    b.disable_imdsv1,
    b.appstream_agent_version,
    b.is_latest_agent,
    b.agent_age_days,
    b.exposed_by,
    coalesce(b.is_running, false) as is_running,
    b.running_hours_at_least,
    b.running_usd_at_least,
    b.usd_per_hour,
    b.disk_usd_per_month
from spans as s
cross join months as m
inner join dim_image_builder as d
    on s.image_builder_key = d.image_builder_key and d.is_last_life
left join image_builder_latest as b on d.image_builder_key = b.image_builder_key
where b.name is not null or s.last_observed_at::date >= m.first_day
order by d.account_id, d.region, d.name
