"""Lightning callbacks for monitoring, images, records of a run, and resuming."""
