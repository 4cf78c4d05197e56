"""The local demo app."""
