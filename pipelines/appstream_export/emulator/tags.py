"""Answer as the Resource Groups Tagging API does: the resources of a scope that have tags, or had some."""

from collections.abc import Mapping
from typing import Any

SERVICE = "resourcegroupstaggingapi"
LISTED_KINDS = {"appstream": frozenset({"fleet", "image", "image-builder", "stack"})}
"""Types that the API lists, of services of which it does not list all. ListTagsForResource knows the others."""


def merge_tags(tags: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return tags after changes, of which None removes a tag."""
    return {key: value for key, value in {**tags, **changes}.items() if value is not None}


def list_tag_mappings(tags_by_arn: Mapping[str, Mapping[str, str]], params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what GetResources lists for its filters, sorted by Arn; a resource without tags left has an empty list."""
    return [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        for arn, tags in sorted(tags_by_arn.items())
        if _is_listed(arn)
        and _is_of_type(arn, params.get("ResourceTypeFilters") or [])
        and arn in (params.get("ResourceARNList") or [arn])
        and _has_tags(tags, params.get("TagFilters") or [])
    ]


def _is_listed(arn: str) -> bool:
    service, kind = _split_type(arn)
    return service not in LISTED_KINDS or kind in LISTED_KINDS[service]


def _split_type(arn: str) -> tuple[str, str]:
    _, _, service, _, _, resource = arn.split(":", 5)
    return service, resource.split("/")[0].split(":")[0]


def _is_of_type(arn: str, filters: list[str]) -> bool:
    """Return whether an Arn is of one of the types, such as `appstream` and `appstream:image-builder`."""
    service, kind = _split_type(arn)
    return not filters or bool({service, f"{service}:{kind}"} & set(filters))


def _has_tags(tags: Mapping[str, str], filters: list[Mapping[str, Any]]) -> bool:
    """Return whether tags pass every filter: its key is there, with one of its values if it names any."""
    return all(
        one.get("Key") in tags and (not one.get("Values") or tags[one["Key"]] in one["Values"]) for one in filters
    )
