-- tagged_resources: One row per tag of an AppStream resource of any kind: from the tagging API, and from the calls per
--   app block builder, app block and application, which it does not list.
-- reads: resource_tags, app_block_builder_tags, app_block_tags, application_tags
-- key: account_id, region, arn, tag_key
-- account_id varchar: AWS account, 12 digits.
-- account_name varchar: Name of the account; null when neither settings nor organization have one.
-- region varchar: AWS region.
-- kind varchar: Type of the resource as its Arn has it, such as image-builder or app-block.
-- arn varchar: Amazon Resource Name of the resource.
-- tag_key varchar: Key of the tag.
-- tag_value varchar: Value of the tag; empty where it has none.
-- is_stale boolean: The newest attempt to read this scope failed or was skipped: the row dates from observed_at.
-- observed_at timestamptz: When AWS returned this row.
with every as (
    select
        account_id,
        account_name,
        region,
        tagged_resource_arn as arn,
        tag_key,
        tag_value,
        is_stale,
        observed_at
    from resource_tags
    union all
    select
        account_id,
        account_name,
        region,
        app_block_builder_arn as arn,
        tag_key,
        tag_value,
        is_stale,
        observed_at
    from app_block_builder_tags
    union all
    select
        account_id,
        account_name,
        region,
        app_block_arn as arn,
        tag_key,
        tag_value,
        is_stale,
        observed_at
    from app_block_tags
    union all
    select
        account_id,
        account_name,
        region,
        application_arn as arn,
        tag_key,
        tag_value,
        is_stale,
        observed_at
    from application_tags
)

select
    account_id,
    account_name,
    region,
    regexp_extract(arn, '^arn:[^:]+:appstream:[^:]*:[^:]*:([^/:]+)', 1) as kind,
    arn,
    tag_key,
    tag_value,
    is_stale,
    observed_at
from every
-- The tagging API may list a type that it did not list before: then both have the tag, and the newer one counts.
qualify row_number() over (partition by account_id, region, arn, tag_key order by observed_at desc, tag_value) = 1
