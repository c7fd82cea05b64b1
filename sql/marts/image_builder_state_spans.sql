-- image_builder_state_spans: One row per period that an image builder spent in one state, from the first answer that
--   showed the state to the last. A stop and a start between two answers are invisible.
-- reads: image_builder_changes_history, image_builders, accounts, scope_runs
-- also: image_builder as app_block_builder without root_volume_size_gb
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is gone.
-- region varchar: AWS region.
-- name varchar: Name of the image builder.
-- image_builder_key varchar: account_id, region, name separated by slashes. A builder that is gone has no row in
--   image_builders.
-- life bigint: Number, from 1, of the builder among those that had this name here; a new builder under an old
--   name is a new life.
-- created_time timestamptz: When this builder was created, by AWS's clock; null where AWS reports none.
-- instance_type varchar: Instance size, as last known; null where AWS reports none.
-- platform varchar: Operating system, as last known; null where AWS reports none.
-- root_volume_size_gb bigint: Root volume in GB, as last known; null where AWS reports none.
-- arn varchar: Amazon Resource Name, as last known; null where AWS reports none.
-- display_name varchar: Name shown to people, as last known; of a life whose end was not seen, as its first answer
--   showed it. Null where AWS reports none.
-- state varchar: State of this span; null where AWS's value could not be read.
-- is_active boolean: Whether the instance is up in this state and costs money: PENDING, UPDATING_AGENT, RUNNING,
--   REBOOTING.
-- first_observed_at timestamptz: The first answer that showed this state.
-- last_observed_at timestamptz: The last answer that showed it.
-- hours_at_least double: From first_observed_at to last_observed_at, in hours.
-- next_observed_at timestamptz: First answer that showed another state; null if none did.
-- next_state varchar: State of the next span of this life; null if none.
-- gap_hours double: Hours from last_observed_at to next_observed_at: the state changed at some time between them.
-- ended_by varchar: changed (another state), deleted, ended (its scope is no longer read), lost (its rows were lost,
--   and later answers do not show it); null while it lasts.
-- is_current boolean: Whether this is the last span known of the builder.
-- is_stale boolean: Whether the span is current and the newest attempt to read its scope failed or was skipped.
-- active_since timestamptz: Start of the unbroken sequence of active states that this one belongs to; null if it is
--   not active.
-- active_until timestamptz: End of its activity: the first observation of the next active state, else last_observed_at;
--   null if it is not active.
with logged as (
    select
        account_id,
        region,
        name,
        image_builder_key,
        change,
        observed_at,
        previous_observed_at,
        case
            when change = 'changed' then [new_value]
            else json_extract_string(
                coalesce(new_value, old_value),
                [
                    '$.state', '$.created_time', '$.instance_type', '$.platform', '$.root_volume_size_gb', '$.arn',
                    '$.display_name'
                ]
            )
        end as facts
    from image_builder_changes_history
    where change <> 'changed' or column_name = 'state'
),

-- The newest rows too: the change log lacks what only a filtered answer saw, and what could not be read before.
answers as (
    select
        account_id,
        region,
        name,
        image_builder_key,
        change,
        observed_at,
        previous_observed_at,
        facts,
        case when change not in ('deleted', 'ended') then facts[1] end as state,
        case when change in ('deleted', 'ended') then 0 else 1 end as place
    from logged
    union all
    select
        account_id,
        region,
        name,
        image_builder_key,
        'seen' as change,
        observed_at,
        null as previous_observed_at,
        null as facts,
        state,
        2 as place
    from image_builders
),

compared as (
    select
        *,
        lag(change) over builder as change_before,
        lag(state) over builder as state_before
    from answers
    window builder as (partition by account_id, region, name order by observed_at, place)
),

events as (
    select
        *,
        change in ('deleted', 'ended') as is_end,
        change in ('first_seen', 'created')
        or change_before is null
        or change_before in ('deleted', 'ended') as is_start,
        coalesce(state in ('PENDING', 'UPDATING_AGENT', 'RUNNING', 'REBOOTING'), false) as is_active
    from compared
    where
        change <> 'seen'
        or change_before is null
        or change_before in ('deleted', 'ended')
        or state_before is distinct from state
),

numbered as (
    select
        *,
        count(*) filter (is_start) over builder as life,
        is_active and (is_start or not lag(is_active, 1, false) over builder) as is_activation,
        lead(change) over builder as next_change,
        lead(observed_at) over builder as next_observed_at,
        lead(previous_observed_at) over builder as next_previous_at,
        count(*) filter (is_start) over (
            builder rows between unbounded preceding and unbounded following
        ) as lives
    from events
    window builder as (partition by account_id, region, name order by observed_at, place)
),

-- Windows with one partition and order are sorted once, whatever their frames are.
lives as (
    select
        *,
        lead(state) over life_events as next_state,
        coalesce(lead(is_active) over life_events, false) as is_next_active,
        coalesce(
            max(facts) filter (is_end) over whole_life, max(facts) filter (is_start) over whole_life
        ) as last_facts,
        case when is_active then max(observed_at) filter (is_activation) over so_far end as active_since,
        life = lives as is_last_life
    from numbered
    window
        life_events as (partition by account_id, region, name, life order by observed_at, place),
        so_far as (
            partition by account_id, region, name, life
            order by observed_at, place rows between unbounded preceding and current row
        ),
        whole_life as (
            partition by account_id, region, name, life
            order by observed_at, place rows between unbounded preceding and unbounded following
        )
),

spans as (
    select
        e.account_id,
        a.account_name,
        e.region,
        e.name,
        e.image_builder_key,
        e.life,
        e.state,
        e.is_active,
        e.is_next_active,
        e.active_since,
        e.observed_at as first_observed_at,
        e.next_observed_at,
        e.next_state,
        e.next_change is null
        and b.name is null
        and (s.region is null or coalesce(s.observed_at > e.observed_at, false)) as is_lost,
        e.next_change is null and not is_lost as is_current,
        is_current and coalesce(s.is_stale, false) as is_stale,
        case
            when e.next_change in ('deleted', 'ended') then e.next_change
            when e.next_change is not null then 'changed'
            when is_lost then 'lost'
        end as ended_by,
        greatest(
            e.observed_at, case when e.next_change is null then b.observed_at else e.next_previous_at end
        ) as last_observed_at,
        coalesce(b.created_time, e.last_facts[2]::timestamptz) as created_time,
        coalesce(b.instance_type, e.last_facts[3]) as instance_type,
        coalesce(b.platform, e.last_facts[4]) as platform,
        coalesce(b.root_volume_size_gb, e.last_facts[5]::bigint) as root_volume_size_gb,
        case when b.name is null then e.last_facts[6] else b.arn end as arn,
        case when b.name is null then e.last_facts[7] else b.display_name end as display_name
    from lives as e
    -- Every span of a life that goes on has the newest row's facts: a stop changes no cost of the days before it.
    left join image_builders as b
        on
            e.account_id = b.account_id
            and e.region = b.region
            and e.name = b.name
            and e.is_last_life
    left join scope_runs as s
        on
            s.resource = 'image_builders'
            and e.account_id = s.account_id
            and e.region = s.region
    left join accounts as a on e.account_id = a.account_id
    where not e.is_end
)

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
    is_active,
    first_observed_at,
    last_observed_at,
    round(hours_between(first_observed_at, last_observed_at), 4) as hours_at_least,
    next_observed_at,
    next_state,
    round(hours_between(last_observed_at, next_observed_at), 4) as gap_hours,
    ended_by,
    is_current,
    is_stale,
    active_since,
    case
        when is_active and is_next_active then next_observed_at
        when is_active then last_observed_at
    end as active_until
from spans
