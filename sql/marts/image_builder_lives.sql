-- image_builder_lives: One row per life of an image builder, gone ones included: a new builder under an old name is a
--   new life.
-- reads: image_builder_state_spans, image_builder_changes_history, accounts
-- key: image_builder_life_key
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes. A builder that is gone has no row in
--   image_builders.
-- life bigint: Number, from 1, of the builder among those that had this name here; 0 for changes from before the first
--   known state.
-- image_builder_life_key varchar: image_builder_key and life separated by a slash.
-- is_last_life boolean: Whether no later builder had this name here.
-- created_time timestamptz: When this builder was created, by AWS's clock; null where AWS reports none.
-- instance_type varchar: Instance size, as last known; null where AWS reports none.
-- platform varchar: Operating system, as last known; null where AWS reports none.
-- root_volume_size_gb bigint: Root volume in GB, as last known; null where AWS reports none.
-- arn varchar: Amazon Resource Name, as last known; null where AWS reports none.
-- display_name varchar: Name shown to people, as last known; of a life whose end was not seen, as its first answer
--   showed it. Null where AWS reports none.
-- state varchar: State that was seen last; null where AWS's value could not be read.
-- first_observed_at timestamptz: The first answer that showed it.
-- last_observed_at timestamptz: The last answer that showed it.
-- ended_by varchar: deleted, ended (its scope is no longer read), lost (its rows were lost, and later answers do not
--   show it), changed (a new life followed at once); null while it lasts.
-- ended_observed_at timestamptz: The first answer that showed that it was deleted, or its next life; the last answer of
--   its scope if that is no longer read; null while it lasts, or where it is not known.
-- is_current boolean: Whether it exists, as far as is known.
with lives as (
    select
        account_id,
        region,
        name,
        life,
        any_value(account_name) as account_name,
        any_value(image_builder_key) as image_builder_key,
        any_value(created_time) as created_time,
        any_value(instance_type) as instance_type,
        any_value(platform) as platform,
        any_value(root_volume_size_gb) as root_volume_size_gb,
        any_value(arn) as arn,
        any_value(display_name) as display_name,
        arg_max_null(state, first_observed_at) as state,
        min(first_observed_at) as first_observed_at,
        max(last_observed_at) as last_observed_at,
        arg_max_null(ended_by, first_observed_at) as ended_by,
        arg_max_null(next_observed_at, first_observed_at) as ended_observed_at,
        bool_or(is_current) as is_current
    from image_builder_state_spans
    group by account_id, region, name, life
),

firsts as (
    select
        account_id,
        region,
        name,
        min(first_observed_at) as first_observed_at
    from lives
    group by account_id, region, name
),

-- Where rows of the change log were lost, changes can be older than the first known state.
earlier as (
    select
        c.account_id,
        c.region,
        c.name,
        any_value(a.account_name) as account_name,
        any_value(c.image_builder_key) as image_builder_key,
        min(coalesce(c.observed_at, c.snapshot_at)) as first_observed_at,
        max(coalesce(c.observed_at, c.snapshot_at)) as last_observed_at,
        max(c.change) filter (c.change in ('deleted', 'ended')) as ended_by,
        any_value(f.first_observed_at) as next_at
    from image_builder_changes_history as c
    left join firsts as f on c.account_id = f.account_id and c.region = f.region and c.name = f.name
    left join accounts as a on c.account_id = a.account_id
    where
        f.first_observed_at is null
        or coalesce(c.observed_at, c.snapshot_at) < f.first_observed_at
        or (c.change in ('deleted', 'ended') and coalesce(c.observed_at, c.snapshot_at) = f.first_observed_at)
    group by c.account_id, c.region, c.name
),

every_life as (
    select
        account_id,
        account_name,
        region,
        name,
        image_builder_key,
        life,
        created_time,
        instance_type,
        platform,
        root_volume_size_gb,
        arn,
        display_name,
        state,
        first_observed_at,
        last_observed_at,
        ended_by,
        ended_observed_at,
        is_current
    from lives
    union all
    select
        account_id,
        account_name,
        region,
        name,
        image_builder_key,
        0 as life,
        null as created_time,
        null as instance_type,
        null as platform,
        null as root_volume_size_gb,
        null as arn,
        null as display_name,
        null as state,
        first_observed_at,
        last_observed_at,
        coalesce(ended_by, case when next_at is null then 'lost' else 'changed' end) as ended_by,
        null as ended_observed_at,
        false as is_current
    from earlier
)

select
    account_id,
    account_name,
    region,
    name,
    image_builder_key,
    life,
    image_builder_key || '/' || life as image_builder_life_key,
    life = max(life) over (partition by account_id, region, name) as is_last_life,
    created_time,
    instance_type,
    platform,
    root_volume_size_gb,
    arn,
    display_name,
    state,
    first_observed_at,
    last_observed_at,
    ended_by,
    ended_observed_at,
    is_current
from every_life
