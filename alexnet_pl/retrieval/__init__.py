"""Image retrieval (§7.1): fc7 features, nearest neighbors, short binary codes."""
