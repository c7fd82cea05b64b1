-- accounts: One row per account that the newest snapshot covers.
-- reads: accounts, feed_snapshot
-- key: account_id
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- ou_path varchar: Path of its organizational unit; null if unknown.
-- state varchar: State in the organization; null when listed in the settings.
-- source varchar: Source of the account: settings or organization.
-- first_seen_at_utc timestamp: First snapshot that covered it. UTC.
-- last_seen_at_utc timestamp: Newest snapshot that covered it. UTC.
-- labels_json varchar: Labels of accounts.csv as JSON; null if none. [feeds] account_labels turns them into columns.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
select
    a.account_id,
    a.account_name,
    a.ou_path,
    a.state,
    a.source,
    utc(a.first_seen_at) as first_seen_at_utc,
    utc(a.last_seen_at) as last_seen_at_utc,
    a.labels_json,
    f.as_of_utc,
    f.snapshot_id
from accounts as a
cross join feed_snapshot as f
