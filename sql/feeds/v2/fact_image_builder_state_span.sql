-- fact_image_builder_state_span: One row per period that an image builder spent in one state, from the first answer
--   that showed the state to the last. A stop and a start between two answers are invisible.
-- reads: image_builder_state_spans
-- key: row_key
-- history: last_observed_at_utc
-- row_key varchar: image_builder_life_key, first_observed_at separated by slashes.
-- image_builder_life_key varchar: image_builder_key and life separated by a slash: key of dim_image_builder.
-- image_builder_key varchar: account_id, region, name separated by slashes; all lives of a name share it.
-- account_id varchar: AWS account, 12 digits.
-- region varchar: AWS region.
-- day date: Day of first_observed_at_utc.
-- state varchar: State of this span; null where AWS's value could not be read.
-- is_active boolean: Whether the instance is up in this state and costs money: PENDING, UPDATING_AGENT, RUNNING,
--   REBOOTING.
-- first_observed_at_utc timestamp: The first answer that showed this state. UTC.
-- last_observed_at_utc timestamp: The last answer that showed it. UTC.
-- hours_at_least double: From first_observed_at_utc to last_observed_at_utc, in hours.
-- next_observed_at_utc timestamp: First answer that showed another state; null if none did. UTC.
-- next_state varchar: State of the next span of this life; null if none.
-- gap_hours double: Hours from last_observed_at_utc to next_observed_at_utc: the state changed at some time between
--   them.
-- ended_by varchar: changed (another state), deleted, ended (its scope is no longer read), lost (its rows were lost,
--   and later answers do not show it); null while it lasts.
-- is_current boolean: Whether this is the last span known of the builder.
-- is_stale boolean: Whether the span is current and the newest attempt to read its scope failed or was skipped.
-- active_since_utc timestamp: Start of the unbroken sequence of active states that this one belongs to; null if it is
--   not active. UTC.
-- active_until_utc timestamp: End of its activity: the first observation of the next active state, else
--   last_observed_at_utc; null if it is not active. UTC.
select
    concat_ws(
        '/', m.image_builder_key, m.life, strftime(utc(m.first_observed_at), '%Y-%m-%dT%H:%M:%S.%fZ')
    ) as row_key,
    m.image_builder_key || '/' || m.life as image_builder_life_key,
    m.image_builder_key,
    m.account_id,
    m.region,
    utc_day(m.first_observed_at) as day,
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
    utc(m.active_until) as active_until_utc
from image_builder_state_spans as m
