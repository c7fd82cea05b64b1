-- dim_image_builder: One row per life of an image builder, gone ones included: a new builder under an old name is a new
--   life.
-- reads: image_builder_lives, feed_snapshot
-- key: image_builder_life_key
-- image_builder_life_key varchar: image_builder_key and life separated by a slash.
-- image_builder_key varchar: account_id, region, name separated by slashes; all lives of a name share it.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- life bigint: Number, from 1, of the builder among those that had this name here; 0 for changes from before the first
--   known state.
-- is_last_life boolean: Whether no later builder had this name here.
-- is_current boolean: Whether it exists, as far as is known.
-- ended_by varchar: deleted, ended (its scope is no longer read), lost (its rows were lost, and later answers do not
--   show it), changed (a new life followed at once); null while it lasts.
-- arn varchar: Amazon Resource Name, as last known; null where AWS reports none.
-- display_name varchar: Name shown to people, as last known; of a life whose end was not seen, as its first answer
--   showed it. Null where AWS reports none.
-- created_time_utc timestamp: When this builder was created, by AWS's clock; null where AWS reports none. UTC.
-- instance_type varchar: Instance size, as last known; null where AWS reports none.
-- platform varchar: Operating system, as last known; null where AWS reports none.
-- root_volume_size_gb bigint: Root volume in GB, as last known; null where AWS reports none.
-- state varchar: State that was seen last; null where AWS's value could not be read.
-- first_observed_at_utc timestamp: The first answer that showed it. UTC.
-- last_observed_at_utc timestamp: The last answer that showed it. UTC.
-- ended_observed_at_utc timestamp: The first answer that showed that it was deleted, or its next life; the last answer
--   of its scope if that is no longer read; null while it lasts, or where it is not known. UTC.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
select
    m.image_builder_life_key,
    m.image_builder_key,
    m.account_id,
    m.region,
    m.name,
    m.life,
    m.is_last_life,
    m.is_current,
    m.ended_by,
    m.arn,
    m.display_name,
    utc(m.created_time) as created_time_utc,
    m.instance_type,
    m.platform,
    m.root_volume_size_gb,
    m.state,
    utc(m.first_observed_at) as first_observed_at_utc,
    utc(m.last_observed_at) as last_observed_at_utc,
    utc(m.ended_observed_at) as ended_observed_at_utc,
    f.as_of_utc,
    f.snapshot_id
from image_builder_lives as m
cross join feed_snapshot as f
