-- running_image_builders: One row per image builder that is up now: PENDING, UPDATING_AGENT, RUNNING or REBOOTING.
--   Hours and cost are lower bounds: it started before the first answer that showed it, and may have run on since the
--   last.
-- reads: image_builder_state_spans, prices
-- also: image_builder as app_block_builder
-- key: image_builder_key
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes: key of image_builders.
-- state varchar: Current state; null where AWS reports none.
-- instance_type varchar: Size, such as stream.standard.medium; null where AWS reports none.
-- platform varchar: Operating system; null where AWS reports none.
-- created_time timestamptz: When it was created, by AWS's clock; null where AWS reports none.
-- active_since timestamptz: First answer that showed it up, with no stop seen since.
-- last_observed_at timestamptz: Last answer that showed it up.
-- running_hours_at_least double: From active_since to last_observed_at, in hours.
-- usd_per_hour decimal(18,6): Price per hour on the last of those days; null if the price list has none.
-- cost_usd_at_least decimal(18,4): Cost of those hours at the prices of their days; null if one is unknown.
-- is_priced boolean: Whether the price list has a price for each of those days.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: it may have stopped since.
with running as (
    select *
    from image_builder_state_spans
    where is_current and is_active
),

days as (
    select
        *,
        unnest(days_between(active_since, last_observed_at)) as day
    from running
),

priced as (
    select
        *,
        hours_within(active_since, last_observed_at, day) as hours,
        price_at(region, instance_type, platform, day).usd_per_hour as usd_per_hour
    from days
),

costs as (
    select
        account_id,
        region,
        name,
        sum(hours * usd_per_hour) as usd,
        bool_and(usd_per_hour is not null) as is_priced,
        arg_max_null(usd_per_hour, day) as usd_per_hour
    from priced
    group by account_id, region, name
)

select
    r.account_id,
    r.account_name,
    r.region,
    r.name,
    r.image_builder_key,
    r.state,
    r.instance_type,
    r.platform,
    r.created_time,
    r.active_since,
    r.last_observed_at,
    round(hours_between(r.active_since, r.last_observed_at), 4) as running_hours_at_least,
    c.usd_per_hour::decimal(18, 6) as usd_per_hour,
    (case when c.is_priced then c.usd end)::decimal(18, 4) as cost_usd_at_least,
    c.is_priced,
    r.is_stale
from running as r
inner join costs as c on r.account_id = c.account_id and r.region = c.region and r.name = c.name
