"""Features of fc7, nearest neighbours, short binary codes (§6.1)."""
