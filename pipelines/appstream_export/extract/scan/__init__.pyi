from .operation import ListOperation as ListOperation
from .retry import RetryState as RetryState
from .scan import parse_resumed_task as parse_resumed_task
from .scheduler import Scheduler as Scheduler, extract_tasks as extract_tasks
