"""Any copy of ImageNet to a prepared store to batches on the device (§2, §5.1)."""
