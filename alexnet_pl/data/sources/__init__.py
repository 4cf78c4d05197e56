"""Readers of every form in which ImageNet is distributed; each returns a `DatasetListing`."""
