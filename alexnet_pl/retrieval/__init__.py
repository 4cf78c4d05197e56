"""Features of fc7, nearest neighbors, short binary codes (§7.1)."""
