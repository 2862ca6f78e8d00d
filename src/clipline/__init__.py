"""Clipline cuts exact clips out of the archives of continuous cameras."""

__version__ = "0.1.0"
