-- coverage_by_region: One row per region and outcome of the newest attempt, over all accounts.
-- reads: coverage
-- question: In which regions is not everything seen?
select
    region,
    case
        when status in ('ok', 'filtered') then 'seen'
        when status = 'skipped' then 'skipped'
        when is_expected then 'expected'
        else 'failed'
    end as sight,
    count(*) as scopes
from coverage
where resource = 'image_builders'
group by all
order by region, sight
