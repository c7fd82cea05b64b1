from .batcher import TaskBatch as TaskBatch, TaskBatcher as TaskBatcher
