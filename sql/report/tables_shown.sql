-- tables_shown: One row per table or view of the catalog, so that the page leaves out what is off.
-- question: Which resources are on?
select table_name as name
from information_schema.tables
order by name
