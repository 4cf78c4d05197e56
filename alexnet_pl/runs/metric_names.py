"""Metric names that fits and tests log."""

RATE, ADAM_RATE = "lr-MomentumSGD", "lr-Adam"
GRADIENT, WEIGHT, UPDATE = "gradient_norm", "weight_norm", "update_ratio"
IDLE, THROUGHPUT, EPOCH_ERROR = "train/gpu_idle_percent", "train/images_per_second", "train/epoch_top1_error"

FILTERS, PREDICTIONS, CONFUSIONS = "kernels", "val/predictions", "test/confusions"

BOX_LOSSES = ("class_loss", "box_loss")  # losses of a detector, prefixed with `train/` or `val/`
LOCALISATION_ERRORS, MEAN_AVERAGE_PRECISION = ("test/loc_error", "test/given_class_error"), "test/map"
MERGING, MISTAKES, FOUND_BOXES = "boxes/merging", "boxes/mistakes", "boxes/found"
