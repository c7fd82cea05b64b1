-- dim_resource: One row per resource that the newest snapshot covers: how many scopes answered, and what could not be
--   read or is not in the contract.
-- reads: coverage, quarantine, drift, feed_snapshot
-- key: resource
-- resource varchar: Resource that was requested, such as image_builders.
-- scopes bigint: Scopes of the resource.
-- scopes_ok bigint: Scopes whose newest attempt is ok or filtered.
-- scopes_failed bigint: Scopes whose newest attempt failed, without expected failures.
-- scopes_expected bigint: Scopes whose newest attempt failed as expected.
-- scopes_stale bigint: Scopes whose rows, if any, date from an earlier answer, without expected failures.
-- quarantined_items bigint: Items that could not be read: they have no row.
-- quarantined_elements bigint: Elements of lists that could not be read: they have no row.
-- quarantined_values bigint: Values that could not be read: they are null in their row.
-- drift_fields bigint: Fields that AWS sent and that the contract does not have.
-- drift_values bigint: Values of enumerations that AWS sent and that botocore does not know.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
with scopes as (
    select
        resource,
        count(*) as scopes,
        count(*) filter (status in ('ok', 'filtered')) as scopes_ok,
        count(*) filter (status not in ('ok', 'filtered', 'skipped') and not is_expected) as scopes_failed,
        count(*) filter (is_expected) as scopes_expected,
        count(*) filter (is_stale and not is_expected) as scopes_stale
    from coverage
    group by resource
),

unread as (
    select
        resource,
        count(*) filter (level = 'item') as items,
        count(*) filter (level = 'element') as elements,
        count(*) filter (level = 'value') as found_values
    from quarantine
    group by resource
),

drifted as (
    select
        resource,
        count(*) filter (kind = 'field') as fields,
        count(*) filter (kind = 'enum') as found_values
    from drift
    group by resource
)

select
    s.resource,
    s.scopes,
    s.scopes_ok,
    s.scopes_failed,
    s.scopes_expected,
    s.scopes_stale,
    coalesce(u.items, 0) as quarantined_items,
    coalesce(u.elements, 0) as quarantined_elements,
    coalesce(u.found_values, 0) as quarantined_values,
    coalesce(d.fields, 0) as drift_fields,
    coalesce(d.found_values, 0) as drift_values,
    f.as_of_utc,
    f.snapshot_id
from scopes as s
left join unread as u on s.resource = u.resource
left join drifted as d on s.resource = d.resource
cross join feed_snapshot as f
