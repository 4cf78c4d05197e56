"""Figures of the paper and training curves, drawn from run folders (`figures`)."""
