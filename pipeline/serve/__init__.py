"""The process that owns the store: applies, evaluates, delivers, answers."""
