from .page import render_report as render_report
from .publish import publish_report as publish_report
