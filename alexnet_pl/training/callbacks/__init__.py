"""Lightning callbacks of a fit: monitoring, images, records, resuming."""
