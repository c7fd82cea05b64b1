from .batcher import EnumValues as EnumValues, TaskBatch as TaskBatch, TaskBatcher as TaskBatcher
