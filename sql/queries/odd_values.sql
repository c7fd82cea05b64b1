-- odd_values: Odd values
-- question: What did AWS send that no contract knows, or that could not be read?
-- reads: drift, quarantine
select
    d.path,
    d.kind,
    d.count as found,
    d.example,
    d.resource
from drift as d
union all
select
    coalesce(path, '(item)') as path,
    'unreadable ' || level as kind,
    count(*) as found,
    min(raw_json) as example,
    resource
from quarantine
group by all
order by found desc, path, kind, resource
