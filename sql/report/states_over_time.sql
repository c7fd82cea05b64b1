-- states_over_time: One row per snapshot and state: how many builders were in it; for older days, in the day's last
--   snapshot.
-- reads: image_builder_states, snapshots
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
    b.builders
from recent as r
inner join image_builder_states as b on r.snapshot_id = b.snapshot_id
where r.place <= 48 or (r.place_of_day = 1 and r.place <= 2000)
order by snapshot_at, state
