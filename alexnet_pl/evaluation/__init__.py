"""Error rates, saved predictions, confusions, ensembles and intervals."""
