"""Loading: from a prepared store to batches on the device."""
