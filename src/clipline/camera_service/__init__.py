"""A camera API of our own, for those who have none: a catalog of recordings and its HTTP interface."""
