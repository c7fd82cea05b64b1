-- unsupported_platforms: Platforms out of support
-- question: Which image builders have a platform whose support has ended, or ends within `days` days?
-- reads: image_builders, platform_support
-- param days: integer = 180 -- Support that ends within so many days of the newest answer counts.
-- param top: integer = 50 -- Maximum number of rows, the earliest end first.
-- chart: days_left by name, account
select
    coalesce(b.account_name, b.account_id) as account,
    b.region,
    b.name,
    b.platform,
    utc_day(s.support_ends_on) as support_ends,
    utc_day(s.support_ends_on) - utc_day(b.observed_at) as days_left
from image_builders as b
inner join platform_support as s on b.platform = s.platform
where utc_day(s.support_ends_on) - utc_day(b.observed_at) <= $days
order by s.support_ends_on, account, b.region, b.name
limit $top
