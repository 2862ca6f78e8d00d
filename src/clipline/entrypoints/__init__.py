"""The doors: each thin."""
