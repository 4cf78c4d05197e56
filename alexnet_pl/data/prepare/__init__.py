"""From a copy of ImageNet to a store."""
