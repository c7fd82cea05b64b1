-- image_builder_state_spans: One row per period that an image builder spent in one state, from the first answer that
--   showed the state to the last. A stop and a start between two answers are invisible.
-- reads: image_builder_state_spans, feed_snapshot
-- key: row_key
-- history: last_observed_at_utc
-- row_key varchar: account_id, region, name, life, first_observed_at separated by slashes.
-- image_builder_key varchar: account_id, region, name separated by slashes. A builder that is gone has no row in
--   image_builders.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- life bigint: Number, from 1, of the builder among those that had this name here; a new builder under an old
--   name is a new life.
-- created_time_utc timestamp: When this builder was created, by AWS's clock; null where AWS reports none. UTC.
-- instance_type varchar: Instance size, as last known; null where AWS reports none.
-- platform varchar: Operating system, as last known; null where AWS reports none.
-- root_volume_size_gb bigint: Root volume in GB, as last known; null where AWS reports none.
-- state varchar: State of this span; null where AWS's value could not be read.
-- is_active boolean: Whether the instance is up in this state and costs money: PENDING, UPDATING_AGENT, RUNNING,
--   REBOOTING.
-- first_observed_at_utc timestamp: The first answer that showed this state. UTC.
-- last_observed_at_utc timestamp: The last answer that showed it. UTC.
-- hours_at_least double: From first_observed_at to last_observed_at, in hours.
-- next_observed_at_utc timestamp: First answer that showed another state; null if none did. UTC.
-- next_state varchar: State of the next span of this life; null if none.
-- gap_hours double: Hours from last_observed_at to next_observed_at: the state changed at some time between them.
-- ended_by varchar: changed (another state), deleted, ended (its scope is no longer read), lost (its rows were lost,
--   and later answers do not show it); null while it lasts.
-- is_current boolean: Whether this is the last span known of the builder.
-- is_stale boolean: Whether the span is current and the newest attempt to read its scope failed or was skipped.
-- active_since_utc timestamp: Start of the unbroken sequence of active states that this one belongs to; null if it
--   is not active. UTC.
-- active_until_utc timestamp: End of its activity: the first observation of the next active state, else
--   last_observed_at; null if it is not active. UTC.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
select
    concat_ws(
        '/', m.image_builder_key, m.life, strftime(utc(m.first_observed_at), '%Y-%m-%dT%H:%M:%S.%fZ')
    ) as row_key,
    m.image_builder_key,
    m.account_id,
    m.account_name,
    m.region,
    m.name,
    m.life,
    utc(m.created_time) as created_time_utc,
    m.instance_type,
    m.platform,
    m.root_volume_size_gb,
    m.state,
    m.is_active,
    utc(m.first_observed_at) as first_observed_at_utc,
    utc(m.last_observed_at) as last_observed_at_utc,
    m.hours_at_least,
    utc(m.next_observed_at) as next_observed_at_utc,
    m.next_state,
    m.gap_hours,
    m.ended_by,
    m.is_current,
    m.is_stale,
    utc(m.active_since) as active_since_utc,
    utc(m.active_until) as active_until_utc,
    f.as_of_utc,
    f.snapshot_id
from image_builder_state_spans as m
cross join feed_snapshot as f
