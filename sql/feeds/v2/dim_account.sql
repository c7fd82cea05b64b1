-- dim_account: One row per account that any row of the feeds names, also of accounts that are no longer covered.
-- reads: accounts, feed_scopes, feed_snapshot
-- key: account_id
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when it has none, or is no longer covered.
-- ou_path varchar: Organizational units from the root down, joined by /; null when not discovered.
-- state varchar: State in the organization, such as ACTIVE; null when listed in the settings.
-- source varchar: Source of the account: settings or organization; null when it is no longer covered.
-- is_covered boolean: Whether the newest snapshot covers the account.
-- first_seen_at_utc timestamp: First snapshot that covered it; null when it is no longer covered. UTC.
-- last_seen_at_utc timestamp: Newest snapshot that covered it; null when it is no longer covered. UTC.
-- labels_json varchar: Labels of accounts.csv as JSON; null if none. [feeds] account_labels turns them into columns.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
with known as (
    select account_id
    from accounts
    union
    select account_id
    from feed_scopes
)

select
    k.account_id,
    a.account_name,
    a.ou_path,
    a.state,
    a.source,
    a.account_id is not null as is_covered,
    utc(a.first_seen_at) as first_seen_at_utc,
    utc(a.last_seen_at) as last_seen_at_utc,
    a.labels_json,
    f.as_of_utc,
    f.snapshot_id
from known as k
left join accounts as a on k.account_id = a.account_id
cross join feed_snapshot as f
