"""What a run will take: memory by part, operations and time, from a model's configuration alone."""

from trainer.planning.plan import Plan, data_at_hand, plan

__all__ = ["Plan", "data_at_hand", "plan"]
