"""Preparation of a store from a copy of ImageNet."""
