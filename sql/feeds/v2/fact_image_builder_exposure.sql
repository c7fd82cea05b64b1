-- fact_image_builder_exposure: One row per image builder of the newest snapshot and way in or out of its network that
--   is open, or of which AWS does not report whether it is. image_builder_latest has a column for each way, also closed
--   ones.
-- reads: exposure, image_builder_lives
-- key: row_key
-- order: image_builder_key, way
-- row_key varchar: account_id, region, name, way separated by slashes.
-- image_builder_life_key varchar: image_builder_key and life separated by a slash: key of dim_image_builder.
-- image_builder_key varchar: account_id, region, name separated by slashes: key of image_builder_latest.
-- scope_key varchar: Resource, account and region, separated by slashes: key of dim_scope.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- day date: Day of observed_at_utc.
-- way varchar: internet (default internet access), imdsv1 (version 1 of the instance metadata service answers), agents
--   (AI agents may do something on it), ipv6 (its network interface has an IPv6 address), public_endpoint
--   (administrators reach it without an interface VPC endpoint) or screenshots (those of AI agents are uploaded).
-- is_open boolean: True; null where AWS does not report whether the way is open.
-- is_exposure boolean: Whether the way counts in exposures of image_builder_latest: internet, imdsv1, agents and ipv6.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at_utc.
-- observed_at_utc timestamp: When AWS returned the builder. UTC.
with builders as (
    select
        e.*,
        l.image_builder_life_key
    from exposure as e
    left join image_builder_lives as l
        on e.account_id = l.account_id and e.region = l.region and e.name = l.name and l.is_last_life
    -- Sorted before there are six rows of each.
    order by e.image_builder_key
),

ways as (
    select
        *,
        unnest(['agents', 'imdsv1', 'internet', 'ipv6', 'public_endpoint', 'screenshots']) as way,
        unnest([
            allows_agents, allows_imdsv1, reaches_internet, has_ipv6, is_reached_publicly, uploads_screenshots
        ]) as is_open
    from builders
)

select
    concat_ws('/', image_builder_key, way) as row_key,
    image_builder_life_key,
    image_builder_key,
    concat_ws('/', 'image_builders', account_id, region) as scope_key,
    account_id,
    region,
    utc_day(observed_at) as day,
    way,
    is_open,
    way in ('internet', 'imdsv1', 'agents', 'ipv6') as is_exposure,
    is_stale,
    utc(observed_at) as observed_at_utc
from ways
where coalesce(is_open, true)
