"""What a run would do (`plan`), and what would stop it (`doctor`), found out the way a run does; commits nothing."""

from appstream_export.rehearsal.doctor import Checkup, examine
from appstream_export.rehearsal.finding import Finding, Verdict
from appstream_export.rehearsal.forecast import Forecast, forecast

__all__ = ["Checkup", "Finding", "Forecast", "Verdict", "examine", "forecast"]
