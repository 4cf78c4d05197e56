"""Prepared stores: format, image encodings, integrity, remote mirrors."""
