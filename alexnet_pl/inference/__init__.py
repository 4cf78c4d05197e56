"""Inference with trained networks: loading from Python, export, model card, import of other programs' weights."""
