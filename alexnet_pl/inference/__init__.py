"""Trained networks outside their run folder: loading from Python, export, model card."""
