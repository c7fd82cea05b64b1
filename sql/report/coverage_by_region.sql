-- coverage_by_region: One row per resource, region and outcome of the newest attempt, over all accounts. If there are
--   several resources, `region` ends with the resource.
-- reads: coverage
-- question: In which regions is not everything seen?
select
    concat_ws(
        ' ',
        c.region,
        case when (select count(distinct o.resource) from coverage as o) > 1 then c.resource end
    ) as region,
    case
        when c.status in ('ok', 'filtered') then 'seen'
        when c.status = 'skipped' then 'skipped'
        when c.is_expected then 'expected'
        else 'failed'
    end as sight,
    count(*) as scopes
from coverage as c
group by all
order by all
