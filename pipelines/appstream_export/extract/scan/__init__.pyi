from .operation import ListOperation as ListOperation
from .retry import RetryState as RetryState
from .scheduler import Scheduler as Scheduler
