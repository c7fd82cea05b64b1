-- image_builder_state_spans: One row per time that an image builder was in a state, from the first answer that showed
--   it there to the last. What happened between two answers is invisible: a stop and a start between them do not show.
-- reads: image_builder_state_spans, feed_snapshot
-- key: row_key
-- row_key varchar: account_id, region, name, life, first_observed_at with slashes between them.
-- image_builder_key varchar: account_id, region, name with slashes between them. A builder that is gone has none in
--   image_builders.
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- life bigint: Counts the builders that had this name here, from 1; another one under the same name is another life.
-- created_time_utc timestamp: When this builder was created, by AWS's clock; null where AWS does not say. UTC.
-- instance_type varchar: Size, as it was last known; null where AWS does not say.
-- platform varchar: Operating system, as it was last known; null where AWS does not say.
-- root_volume_size_gb bigint: Root volume in GB, as it was last known; null where AWS does not say.
-- state varchar: State of this span; null where AWS's word for it could not be read.
-- is_active boolean: Whether the instance is up in this state, and costs: PENDING, UPDATING_AGENT, RUNNING, REBOOTING.
-- first_observed_at_utc timestamp: The first answer that showed this state. UTC.
-- last_observed_at_utc timestamp: The last answer that showed it. UTC.
-- hours_at_least double: From first_observed_at to last_observed_at, in hours.
-- next_observed_at_utc timestamp: The answer that showed something else; null while nothing else was seen. UTC.
-- next_state varchar: State of the span that follows in this life; null when none does.
-- gap_hours double: From last_observed_at to next_observed_at, in hours: somewhere in there it changed.
-- ended_by varchar: changed (another state), deleted, ended (its scope is no longer read), lost (its rows were lost,
--   and later answers do not show it); null while it lasts.
-- is_current boolean: Whether nothing later is known of the builder.
-- is_stale boolean: Whether it is current and its scope's newest attempt failed or was skipped.
-- active_since_utc timestamp: First observation of the unbroken row of active states that this one belongs to; null
--   when it is not active. UTC.
-- active_until_utc timestamp: Until when it was active: the next active state's first observation, else
--   last_observed_at; null when it is not active. UTC.
-- as_of_utc timestamp: When the snapshot was committed that this feed shows. UTC.
-- snapshot_id varchar: Snapshot that this feed shows: equal in all feeds of a generation.
select
    concat_ws(
        '/', m.account_id, m.region, m.name, m.life, strftime(utc(m.first_observed_at), '%Y-%m-%dT%H:%M:%S.%fZ')
    ) as row_key,
    concat_ws('/', m.account_id, m.region, m.name) as image_builder_key,
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
