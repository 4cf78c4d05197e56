"""Strategies for several processes: data parallel, and the two towers of §4.2."""
