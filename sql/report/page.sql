-- page: One row: the newest snapshot, and what the page needs to know of the warehouse.
-- reads: snapshots, prices, export_runs
-- question: Which snapshot is shown, when was it made, and is there a price list?
select
    max(s.seq) as seq,
    arg_max(s.snapshot_id, s.seq) as snapshot_id,
    max(s.committed_at) as as_of,
    arg_max(s.discovery, s.seq) as discovery,
    (select count(*) > 0 from prices) as is_priced,
    (select min(r.committed_at) from export_runs as r) as first_run_at
from snapshots as s
where s.kind = 'sweep'
