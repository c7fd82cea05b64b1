from .column_changes import find_column_changes as find_column_changes
from .dbt import render_dbt_sources as render_dbt_sources
from .definitions import FEED_STATUS as FEED_STATUS, build_feeds as build_feeds
from .diff import diff_feeds as diff_feeds
from .feed_reader import (
    find_feed_version as find_feed_version,
    find_served_snapshot_id as find_served_snapshot_id,
    load_feed as load_feed,
)
from .generations import (
    FEEDS_ROOT as FEEDS_ROOT,
    V1 as V1,
    V2 as V2,
    VERSIONS as VERSIONS,
    format_feed_name as format_feed_name,
    list_served_versions as list_served_versions,
)
from .page import FEEDS_PAGE as FEEDS_PAGE, render_feeds_page as render_feeds_page
from .publish import (
    PublishedFeed as PublishedFeed,
    PublishResult as PublishResult,
    load_published_feeds as load_published_feeds,
    publish_feeds as publish_feeds,
)
from .query_page import render_query_page as render_query_page
from .report import publish_report as publish_report, render_report as render_report
from .served import ServedOutput as ServedOutput, load_served_outputs as load_served_outputs
from .star import build_version_feeds as build_version_feeds, insert_feed_scopes as insert_feed_scopes
from .superset import build_superset_bundle as build_superset_bundle
from .verify import verify_feeds as verify_feeds
from .xlsx import check_feed_formats as check_feed_formats
