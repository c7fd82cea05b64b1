"""What a run would do (`plan`), and what would stop it (`doctor`), found out the way a run does; commits nothing."""

from appstream_export.preflight.doctor import Checkup, examine
from appstream_export.preflight.estimate import Forecast, forecast
from appstream_export.preflight.findings import Finding, Verdict

__all__ = ["Checkup", "Finding", "Forecast", "Verdict", "examine", "forecast"]
