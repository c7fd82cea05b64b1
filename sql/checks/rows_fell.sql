-- rows_fell: Tables that have lost more than [lake] warn_drop_percent of their rows, and more than 3 rows, since the
--   previous snapshot.
-- severity: warn
-- reads: snapshots, table_rows, check_limits
select
    t.table_name,
    t.previous_rows,
    t.found_rows,
    round(100 - 100 * t.found_rows / t.previous_rows, 1) as percent_lost
from table_rows as t
cross join check_limits as l
where t.previous_rows - t.found_rows > greatest(3, t.previous_rows * l.warn_drop_percent / 100)
