-- tiles: One row: the key figures of image builders; scopes are those of all resources.
-- reads: image_builder_overview, running_image_builders, exposure, coverage, snapshots, prices
-- question: How many builders are there, what do they cost, and was everything seen?
with builders as (
    select
        count(*) as builders,
        count(distinct account_id) as accounts,
        count(distinct region) as regions,
        count(*) filter (is_stale) as stale_builders,
        sum(disk_usd_per_month) * 12 / 365 as disk_usd_per_day
    from image_builder_overview
),

running as (
    select
        count(*) as running,
        sum(usd_per_hour) * 24 as usd_per_day
    from running_image_builders
),

unpriced as (
    select count(*) as builders
    from image_builder_overview as o
    left join running_image_builders as r
        on o.account_id = r.account_id and o.region = r.region and o.name = r.name
    where o.disk_usd_per_month is null or (r.name is not null and r.usd_per_hour is null)
),

exposed as (
    select count(*) as exposed
    from exposure
    where exposures > 0
),

listed as (select count(*) > 0 as is_priced from prices),

seen_by_resource as (
    select
        resource,
        count(*) as scopes,
        count(*) filter (
            (status not in ('ok', 'filtered', 'skipped') and not is_expected) or attempted_at is null
        ) as unseen_scopes
    from coverage
    group by resource
),

unseen as (
    select
        case
            when count(*) > 1
                then string_agg(format('{} {} of {}', resource, unseen_scopes, scopes), ', ' order by resource)
        end as by_resource
    from seen_by_resource
),

scopes as (
    select
        count(*) as scopes,
        count(distinct row(resource, account_id)) as covered_lines,
        count(*) filter (status not in ('ok', 'filtered', 'skipped') and not is_expected) as failed_scopes,
        count(*) filter (status not in ('ok', 'filtered', 'skipped') and is_expected) as expected_scopes,
        count(*) filter (attempted_at is null) as unasked_scopes
    from coverage
),

newest as (
    select
        max(seq) as seq,
        arg_max(snapshot_id, seq) as snapshot_id,
        max(committed_at) as as_of,
        arg_max(discovery, seq) as discovery
    from snapshots
    where kind = 'sweep'
)

select
    newest.seq,
    newest.snapshot_id,
    newest.as_of,
    newest.discovery,
    builders.builders,
    builders.accounts,
    builders.regions,
    builders.stale_builders,
    running.running,
    unpriced.builders as unpriced,
    listed.is_priced,
    (coalesce(running.usd_per_day, 0) + coalesce(builders.disk_usd_per_day, 0))::double as usd_per_day,
    exposed.exposed,
    scopes.scopes,
    scopes.covered_lines,
    scopes.failed_scopes,
    scopes.expected_scopes,
    scopes.unasked_scopes,
    unseen.by_resource as unseen_by_resource
from newest
cross join builders
cross join running
cross join unpriced
cross join exposed
cross join scopes
cross join unseen
cross join listed
