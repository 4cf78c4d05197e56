"""The prepared store: format, images, integrity, remote copies."""
