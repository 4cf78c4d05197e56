"""Image retrieval (§7.1): fc7 features, nearest neighbours, short binary codes."""
