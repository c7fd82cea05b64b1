-- page: One row: the newest snapshot, and when the first one was made.
-- reads: fact_export_run
-- question: Which snapshot is shown, and when was it made?
select
    max(seq) as seq,
    arg_max(export_run_key, seq) as snapshot_id,
    max(committed_at_utc) as as_of,
    arg_max(outcome, seq) as outcome,
    min(committed_at_utc) as first_run_at
from fact_export_run
