-- negative_spans: Spans of image builders that end before they begin, or overlap the next one.
-- severity: error
-- reads: image_builder_state_spans
select
    account_id,
    region,
    name,
    life,
    state,
    first_observed_at,
    last_observed_at,
    next_observed_at
from image_builder_state_spans
where last_observed_at < first_observed_at or next_observed_at < last_observed_at
