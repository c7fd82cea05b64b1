-- expected_by_region: One row per resource, region and status of expected failures, over all accounts.
-- reads: coverage
-- question: Where did we expect no answer?
select
    region,
    status,
    count(distinct account_id) as accounts,
    any_value(reason order by account_id) as such_as,
    resource
from coverage
where is_expected
group by all
order by region, status, resource
