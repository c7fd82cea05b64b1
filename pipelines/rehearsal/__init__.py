"""What a run would do (`plan`), and what would stop it (`doctor`), found out the way a run does; commits nothing."""

from pipelines.rehearsal.doctor import Checkup, examine
from pipelines.rehearsal.finding import Finding, Verdict
from pipelines.rehearsal.forecast import Forecast, forecast

__all__ = ["Checkup", "Finding", "Forecast", "Verdict", "examine", "forecast"]
