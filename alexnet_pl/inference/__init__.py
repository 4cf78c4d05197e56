"""A trained network outside of its run folder: loaded from Python, exported, published."""
