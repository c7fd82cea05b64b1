-- image_builder_lineage: One row per image builder and image that it made, with the image that it was made from and the
--   fleets that use what it made. A builder that made none has one row.
-- reads: image_builders, images, shared_images, public_images, fleets, scope_runs
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- state varchar: Its current state; null where AWS reports none.
-- created_time timestamptz: When it was created, by AWS's clock; null where AWS reports none.
-- platform varchar: Its operating system; null where AWS reports none.
-- source_image_arn varchar: Image that it was made from; null where AWS reports none.
-- source_image_owner varchar: own, shared (another account's) or public (AWS's), by the Arn; null if that is null.
-- source_image_name varchar: Name of that image, by the Arn; null if that is null.
-- source_image_state varchar: State of that image; null if it was not seen.
-- source_image_created_time timestamptz: When that image was created, by AWS's clock; null if it was not seen.
-- source_base_released_at timestamptz: When AWS released the public image below it; null where AWS reports none.
-- source_image_age_days bigint: Days from that release, or else from the image's creation, to observed_at; null if
--   unknown.
-- is_source_gone boolean: Whether that image exists no more, or is no longer shared; null if the newest answers do
--   not say.
-- image_name varchar: Name of an image that it made; null if it made none that exists.
-- image_arn varchar: Amazon Resource Name of that image.
-- image_state varchar: State of that image; null where AWS reports none.
-- image_created_time timestamptz: When that image was created, by AWS's clock.
-- fleets bigint: Number of fleets, in any account that is read, that use that image.
-- fleet_names varchar: Their accounts and names, sorted, separated by commas; null if none.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at.
-- observed_at timestamptz: When AWS returned the builder.
with sources as (
    select
        account_id,
        region,
        arn,
        state,
        created_time,
        public_base_image_released_date
    from images
    union all
    select
        account_id,
        region,
        arn,
        state,
        created_time,
        public_base_image_released_date
    from shared_images
),

public_sources as (
    select
        region,
        arn,
        any_value(state) as state,
        max(created_time) as created_time,
        max(public_base_image_released_date) as public_base_image_released_date
    from public_images
    group by region, arn
),

-- Only a complete answer says that an image is gone.
answers as (
    select
        account_id,
        region,
        bool_or(resource = 'images' and status = 'ok') as has_own,
        bool_or(resource = 'shared_images' and status = 'ok') as has_shared
    from scope_runs
    group by account_id, region
),

public_answers as (
    select
        region,
        bool_or(not is_stale) as has_public
    from public_images
    group by region
),

used as (
    select
        region,
        image_arn,
        count(*) as fleets,
        string_agg(account_id || '/' || name, ', ' order by account_id, name) as fleet_names
    from fleets
    group by region, image_arn
),

builders as (
    select
        *,
        case
            when image_arn is null then null
            when split_part(image_arn, ':', 5) = account_id then 'own'
            when split_part(image_arn, ':', 5) = '' then 'public'
            else 'shared'
        end as source_image_owner
    from image_builders
),

traced as (
    select
        b.*,
        coalesce(s.state, p.state) as source_image_state,
        coalesce(s.created_time, p.created_time) as source_image_created_time,
        coalesce(s.public_base_image_released_date, p.public_base_image_released_date) as source_base_released_at,
        coalesce(s.arn, p.arn) is not null as is_source_seen,
        case b.source_image_owner
            when 'own' then a.has_own
            when 'shared' then a.has_shared
            when 'public' then q.has_public
        end as is_source_answered
    from builders as b
    left join sources as s on b.account_id = s.account_id and b.region = s.region and b.image_arn = s.arn
    left join public_sources as p on b.region = p.region and b.image_arn = p.arn
    left join answers as a on b.account_id = a.account_id and b.region = a.region
    left join public_answers as q on b.region = q.region
)

select
    t.account_id,
    t.account_name,
    t.region,
    t.name,
    t.state,
    t.created_time,
    t.platform,
    t.image_arn as source_image_arn,
    t.source_image_owner,
    nullif(split_part(t.image_arn, ':image/', 2), '') as source_image_name,
    t.source_image_state,
    t.source_image_created_time,
    t.source_base_released_at,
    utc_day(t.observed_at)
    - utc_day(coalesce(t.source_base_released_at, t.source_image_created_time)) as source_image_age_days,
    case
        when t.image_arn is null then null
        when t.is_source_seen then false
        when t.is_source_answered then true
    end as is_source_gone,
    m.name as image_name,
    m.arn as image_arn,
    m.state as image_state,
    m.created_time as image_created_time,
    coalesce(u.fleets, 0) as fleets,
    u.fleet_names,
    t.is_stale,
    t.observed_at
from traced as t
-- An image that is older than the builder is of an earlier builder under the same name.
left join images as m
    on
        t.account_id = m.account_id
        and t.region = m.region
        and t.name = m.image_builder_name
        and coalesce(t.created_time <= m.created_time, true)
left join used as u on m.region = u.region and m.arn = u.image_arn
