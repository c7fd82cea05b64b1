-- feed_columns_removed: Columns of the published feeds that the next ones lack, or have with another type. Dashboards
--   that read them break. Once the feeds are published, the next run passes.
-- severity: error
-- feeds: publish
-- reads: snapshots, feed_columns
select
    f.feed,
    f.column_name,
    f.previous_type,
    f.next_type
from feed_columns as f
where f.previous_type is not null and f.next_type is distinct from f.previous_type
