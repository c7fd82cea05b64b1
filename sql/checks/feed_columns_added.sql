-- feed_columns_added: Columns of feeds that the published feeds lack.
-- severity: warn
-- reads: snapshots, feed_columns
select
    f.feed,
    f.column_name,
    f.next_type
from feed_columns as f
where f.previous_type is null
