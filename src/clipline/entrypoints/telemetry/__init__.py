"""What is told of the work on messages: logs, metrics and traces. ``docs/observability.md`` has the names."""
