from .definitions import STATUS as STATUS, build_feeds as build_feeds
from .diff import diff_feeds as diff_feeds
from .generations import DATABASE as DATABASE, FOLDER as FOLDER
from .publish import (
    PublishResult as PublishResult,
    has_published_feeds as has_published_feeds,
    publish_feeds as publish_feeds,
)
from .report.page import render_report as render_report
from .report.publish import publish_report as publish_report
from .superset.bundle import build_superset_bundle as build_superset_bundle
from .verify import verify_feeds as verify_feeds
