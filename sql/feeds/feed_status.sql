-- feed_status: One row per feed: what it shows, since when, and whether it is the newest there is.
-- reads: feed_publication, feed_snapshot
-- key: feed
-- feed varchar: Name of the feed.
-- description varchar: What its rows are.
-- row_count bigint: Rows in it.
-- is_ok boolean: Whether it shows the newest snapshot; false where a check stopped that one, and an older one stands
--   in.
-- why varchar: What stopped the newest snapshot; null when nothing did.
-- published_at_utc timestamp: When this was written. UTC.
-- as_of_utc timestamp: When the snapshot was committed that the feeds show. UTC.
-- snapshot_id varchar: Snapshot that the feeds show: equal in all feeds of a generation.
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
