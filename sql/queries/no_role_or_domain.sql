-- no_role_or_domain: Without role or domain
-- question: Which image builders have no IAM role, or join no Active Directory domain?
-- reads: image_builder_overview
-- param either: boolean = false -- Include those that lack only one of the two.
-- param top: integer = 50 -- Maximum number of rows.
select
    coalesce(account_name, account_id) as account,
    region,
    name,
    state,
    concat_ws(
        ', ',
        case when iam_role_arn is null then 'role' end,
        case when directory_name is null then 'domain' end
    ) as lacks
from image_builder_overview
where
    (iam_role_arn is null or directory_name is null)
    and ($either or (iam_role_arn is null and directory_name is null))
order by account, region, name
limit $top
