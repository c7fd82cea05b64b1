-- unknown_scopes: Scopes that have image builders but no row in scope_runs.
-- severity: error
-- reads: image_builders, scope_runs
with scopes as (
    select
        account_id,
        region,
        count(*) as builders
    from image_builders
    group by all
)

select
    s.account_id,
    s.region,
    s.builders
from scopes as s
anti join scope_runs as r
    on
        s.account_id = r.account_id
        and s.region = r.region
        and r.resource = 'image_builders'
