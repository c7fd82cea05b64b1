-- builder_life: The life of a builder
-- question: Which states was an image builder in, from when to when at least?
-- reads: image_builder_state_spans
-- param name: text = -- Start of its name; empty for all.
-- param top: integer = 50 -- Maximum number of spans, the newest first.
-- chart: hours by name, state
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    life,
    state,
    round(hours_at_least, 1) as hours,
    ended_by
from image_builder_state_spans
where starts_with(name, $name)
order by first_observed_at desc, account, region, name
limit $top
