"""Data pipeline (§3, §5.1): from any copy of ImageNet to a prepared store to batches on the device."""
