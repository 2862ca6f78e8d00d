"""Schedules that were wrong once: (seed, number). They change with what the generator draws."""

SCHEDULES = (
    ("a", 226),  # FATAL_ERROR over CLIP_AVAILABLE: another delivery had finished while the last one failed
    ("a", 467),  # the same, in a batch
    ("a", 898),  # FATAL_ERROR without a dead letter
    ("a", 5195),  # returned dead letters counted as asked for when they were returned
)
