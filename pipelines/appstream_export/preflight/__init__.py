"""What a run would do (`plan`), and what would stop it (`doctor`), found out the way a run does; commits nothing."""

from appstream_export.preflight.doctor import Checkup, check_readiness
from appstream_export.preflight.estimate import RunEstimate, estimate_run
from appstream_export.preflight.findings import Finding, Verdict

__all__ = ["Checkup", "Finding", "RunEstimate", "Verdict", "check_readiness", "estimate_run"]
