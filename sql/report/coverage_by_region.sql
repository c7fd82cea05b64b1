-- coverage_by_region: One row per region and way in which the newest attempt to ask ended, over all accounts.
-- reads: coverage
-- question: In which regions do we not see everything?
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
