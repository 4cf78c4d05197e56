"""Files of a run folder: layout, checkpoints, status, provenance, metrics, lock."""
