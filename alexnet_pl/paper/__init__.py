"""The papers' published numbers as data, and the rules that match a run with the number it reproduces."""
