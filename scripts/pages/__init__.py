"""Documentation pages generated from code and saved results; written by scripts/reference.py."""
