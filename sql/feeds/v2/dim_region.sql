-- dim_region: One row per region that any row of the feeds names, also of regions that are no longer read.
-- reads: feed_scopes, feed_snapshot
-- key: region
-- region varchar: AWS region, such as eu-west-1.
-- partition varchar: Partition of AWS: aws, aws-us-gov or aws-cn.
-- geography varchar: First part of the region's name, such as eu, us or ap.
-- accounts bigint: Number of accounts that the newest snapshot covers there.
-- is_covered boolean: Whether the newest snapshot covers a scope of the region.
-- as_of_utc timestamp: When the snapshot of this feed was committed. UTC.
-- snapshot_id varchar: Snapshot of this feed: the same in all feeds of a generation.
with regions as (
    select
        region,
        count(distinct account_id) filter (is_covered) as accounts
    from feed_scopes
    group by region
)

select
    r.region,
    case
        when starts_with(r.region, 'us-gov-') then 'aws-us-gov'
        when starts_with(r.region, 'cn-') then 'aws-cn'
        else 'aws'
    end as partition,
    split_part(r.region, '-', 1) as geography,
    r.accounts,
    r.accounts > 0 as is_covered,
    f.as_of_utc,
    f.snapshot_id
from regions as r
cross join feed_snapshot as f
