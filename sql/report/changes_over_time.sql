-- changes_over_time: One row per snapshot and kind of change, for the last 48 snapshots, without builders seen for the
--   first time.
-- reads: image_builder_changes_history, snapshots
-- question: When did how much change?
with recent as (
    select
        snapshot_id,
        committed_at
    from snapshots
    where kind = 'sweep'
    order by seq desc
    limit 48
)

select
    r.committed_at as snapshot_at,
    c.change,
    count(distinct concat_ws('/', c.account_id, c.region, c.name)) as builders
from recent as r
inner join image_builder_changes_history as c on r.snapshot_id = c.snapshot_id
where c.change <> 'first_seen'
group by all
order by r.committed_at, c.change
