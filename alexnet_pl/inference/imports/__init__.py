"""Weights that other programs trained, read into networks of this package."""
