"""Measurements that `make evidence` repeats, one module per data set."""
