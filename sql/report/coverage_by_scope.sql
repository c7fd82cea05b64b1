-- coverage_by_scope: One row per account and region: how the newest attempt to ask it ended.
-- reads: coverage
-- question: Do we see everything?
select
    coalesce(account_name, account_id) as account,
    account_id,
    region,
    case
        when status in ('ok', 'filtered') then 'seen'
        when status = 'skipped' then 'skipped'
        when is_expected then 'closed by design'
        else 'failed'
    end as sight,
    status,
    observed_at
from coverage
where resource = 'image_builders'
order by account, account_id, region
