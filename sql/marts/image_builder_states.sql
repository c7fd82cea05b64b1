-- image_builder_states: One row per retained snapshot and state: how many image builders were in it.
-- reads: image_builders_history
-- kept: month
-- snapshot_id varchar: Snapshot: a ULID.
-- state varchar: State of these builders; null where AWS reports none.
-- builders bigint: Number of image builders in this state.
select
    snapshot_id,
    state,
    count(*) as builders
from image_builders_history
group by snapshot_id, state
