from .batcher import TaskBatch as TaskBatch, TaskBatcher as TaskBatcher
from .json_pages import RawItems as RawItems, RawReader as RawReader, read_json as read_json
