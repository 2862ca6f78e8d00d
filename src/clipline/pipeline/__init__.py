"""One request, from message to notification."""
