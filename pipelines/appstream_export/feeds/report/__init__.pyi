from .publish import publish_report as publish_report, render_report as render_report
