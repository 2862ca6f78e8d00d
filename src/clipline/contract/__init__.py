"""What travels and what it means. No input or output, no clock."""
