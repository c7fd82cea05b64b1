-- feed_status: One row per feed: its snapshot, its age, and whether it shows the newest snapshot.
-- reads: feed_publication, feed_snapshot
-- key: feed
-- feed varchar: Name of the feed.
-- description varchar: What its rows are.
-- row_count bigint: Rows in it.
-- is_ok boolean: Whether it shows the newest snapshot; false if a check held that one back and the feed shows an older
--   one.
-- why varchar: Why the newest snapshot was held back; null if it was not.
-- published_at_utc timestamp: When this feed was published. UTC.
-- as_of_utc timestamp: When the snapshot of the feeds was committed. UTC.
-- snapshot_id varchar: Snapshot of the feeds: the same in all feeds of a generation.
select
    p.feed,
    p.description,
    p.row_count,
    p.is_ok,
    p.why,
    p.published_at_utc,
    f.as_of_utc,
    f.snapshot_id
from feed_publication as p
cross join feed_snapshot as f
