"""Lightning callbacks: monitoring, images, records of a run, resuming."""
