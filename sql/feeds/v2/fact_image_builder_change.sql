-- fact_image_builder_change: One row per change of image_builders that complete answers prove; one per column where an
--   image builder changed. It covers all retained snapshots.
-- reads: image_builder_changes_history, image_builder_lives
-- key: row_key
-- history: changed_in_snapshot_utc
-- row_key varchar: changed_in_snapshot_id, account_id, region, name, change, column_name separated by slashes.
-- image_builder_life_key varchar: image_builder_key and life separated by a slash: key of dim_image_builder.
-- image_builder_key varchar: account_id, region, name separated by slashes; all lives of a name share it.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- day date: Day of observed_at_utc, or of changed_in_snapshot_utc where that is null.
-- changed_in_snapshot_id varchar: Snapshot that found the change.
-- changed_in_snapshot_utc timestamp: When that snapshot was committed. UTC.
-- change varchar: first_seen, created, changed, deleted or ended (its scope is no longer read).
-- column_name varchar: Column that changed; null for the whole item.
-- old_value varchar: Value before, as text, null when absent; null for the whole item. dim_image_builder has the
--   ARN, names, size, platform, state and tags of a builder that is gone.
-- new_value varchar: Value after, as text, null when absent; null for the whole item.
-- observed_at_utc timestamp: When AWS gave the answer that proves the change; null if it never answered. UTC.
-- previous_observed_at_utc timestamp: When AWS gave the answer before, null if none; the change happened between the
--   two. UTC.
with changes as (
    select
        account_id,
        region,
        name,
        image_builder_key,
        snapshot_id,
        snapshot_at,
        change,
        column_name,
        case when change = 'changed' then old_value end as old_value,
        case when change = 'changed' then new_value end as new_value,
        observed_at,
        previous_observed_at,
        coalesce(observed_at, snapshot_at) as changed_at,
        -- The end of a life and the start of the next one may be found in the same answer.
        changed_at - (change in ('deleted', 'ended'))::int * interval 1 microsecond as lived_at
    from image_builder_changes_history
),

lives as (
    select
        account_id,
        region,
        name,
        life,
        first_observed_at
    from image_builder_lives
    where life > 0
)

select
    concat_ws(
        '/', c.snapshot_id, c.image_builder_key, coalesce(c.change, ''), coalesce(c.column_name, '')
    ) as row_key,
    c.image_builder_key || '/' || coalesce(l.life, 0) as image_builder_life_key,
    c.image_builder_key,
    c.account_id,
    c.region,
    utc_day(c.changed_at) as day,
    c.snapshot_id as changed_in_snapshot_id,
    utc(c.snapshot_at) as changed_in_snapshot_utc,
    c.change,
    c.column_name,
    c.old_value,
    c.new_value,
    utc(c.observed_at) as observed_at_utc,
    utc(c.previous_observed_at) as previous_observed_at_utc
from changes as c
asof left join lives as l
    on c.account_id = l.account_id and c.region = l.region and c.name = l.name and c.lived_at >= l.first_observed_at
