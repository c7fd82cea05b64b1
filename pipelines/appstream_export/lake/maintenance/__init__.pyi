from .erase import EraseResult as EraseResult, erase_account as erase_account
from .expire import ExpireResult as ExpireResult, expire_snapshots as expire_snapshots
from .repair import (
    RepairResult as RepairResult,
    find_announced_seq as find_announced_seq,
    repair_warehouse as repair_warehouse,
)
from .vacuum import VacuumResult as VacuumResult, vacuum_warehouse as vacuum_warehouse
from .verify import VerifyResult as VerifyResult, verify_warehouse as verify_warehouse
