"""From AWS's nested items to normalized Arrow tables. Knows Arrow and contracts; asks nobody, writes nothing."""

from appstream_export.normalize.batcher import TaskBatch, TaskBatcher

__all__ = ["TaskBatch", "TaskBatcher"]
