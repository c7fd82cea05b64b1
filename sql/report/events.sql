-- events: One row per event of an image builder, the newest first, at most 50 of each: a period in one state, or a
--   change of another column. `older` is how many are left out.
-- reads: fact_image_builder_state_span, fact_image_builder_change
-- question: What happened to each image builder?
with found as (
    select
        image_builder_key,
        first_observed_at_utc as observed_at,
        'state' as column_name,
        null as old_value,
        state as new_value,
        (epoch(last_observed_at_utc) - epoch(first_observed_at_utc))::bigint as lasted_s,
        (epoch(next_observed_at_utc) - epoch(last_observed_at_utc))::bigint as gap_s,
        ended_by
    from fact_image_builder_state_span
    union all
    select
        image_builder_key,
        observed_at_utc as observed_at,
        column_name,
        left(old_value, 120) as old_value,
        left(new_value, 120) as new_value,
        null as lasted_s,
        null as gap_s,
        null as ended_by
    from fact_image_builder_change
    where change = 'changed' and column_name <> 'state'
),

numbered as (
    select
        *,
        row_number() over (
            partition by image_builder_key
            order by observed_at desc, column_name <> 'state', column_name
        ) as place,
        count(*) over (partition by image_builder_key) - 50 as older
    from found
)

select
    image_builder_key,
    observed_at,
    column_name,
    old_value,
    new_value,
    lasted_s,
    gap_s,
    ended_by,
    case when place = 1 then greatest(older, 0) end as older
from numbered
where place <= 50
order by image_builder_key, place
