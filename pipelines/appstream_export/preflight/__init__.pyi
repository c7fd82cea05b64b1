from .doctor import Checkup as Checkup, check_readiness as check_readiness
from .estimate import RunEstimate as RunEstimate, estimate_run as estimate_run
from .findings import Finding as Finding, Verdict as Verdict
