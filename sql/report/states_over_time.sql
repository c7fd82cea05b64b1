-- states_over_time: One row per snapshot and state: how many builders were in it; for older days, in the day's last
--   snapshot.
-- reads: image_builders_history, snapshots
-- question: How many builders were in which state?
with recent as (
    select
        snapshot_id,
        committed_at,
        row_number() over (order by seq desc) as place,
        row_number() over (partition by utc_day(committed_at) order by seq desc) as place_of_day
    from snapshots
    where kind = 'sweep'
)

select
    r.committed_at as snapshot_at,
    coalesce(b.state, 'unknown') as state,
    count(*) as builders
from recent as r
inner join image_builders_history as b on r.snapshot_id = b.snapshot_id
where r.place <= 48 or (r.place_of_day = 1 and r.place <= 2000)
group by all
order by snapshot_at, state
