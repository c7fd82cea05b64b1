-- compliance: Compliance of fleets
-- question: Which fleets reach the internet by default, or let sessions idle, wait or last too long?
-- reads: fleets
-- param idle_seconds: integer = 600 -- Longest time that a user may be idle.
-- param disconnect_seconds: integer = 300 -- Longest time that a session waits for a user who was disconnected.
-- param session_seconds: integer = 36000 -- Longest session.
-- param top: integer = 50 -- Maximum number of rows.
with findings as (
    select
        *,
        unnest([
            {
                'rule': 'internet access',
                'value': null::bigint,
                'most': null::bigint,
                'is_broken': enable_default_internet_access
            },
            {
                'rule': 'idle timeout',
                'value': idle_disconnect_timeout_in_seconds,
                'most': $idle_seconds::bigint,
                -- 0 means never.
                'is_broken': idle_disconnect_timeout_in_seconds not between 1 and $idle_seconds
            },
            {
                'rule': 'disconnect timeout',
                'value': disconnect_timeout_in_seconds,
                'most': $disconnect_seconds::bigint,
                'is_broken': disconnect_timeout_in_seconds > $disconnect_seconds
            },
            {
                'rule': 'session length',
                'value': max_user_duration_in_seconds,
                'most': $session_seconds::bigint,
                'is_broken': max_user_duration_in_seconds > $session_seconds
            }
        ]) as finding
    from fleets
)

select
    coalesce(account_name, account_id) as account,
    region,
    name,
    finding.rule as broken_rule,
    finding.value as seconds,
    finding.most as allowed_seconds,
    case when is_stale then 'stale' end as note
from findings
where finding.is_broken
order by account, region, name, broken_rule
limit $top
