"""Metric names that a fit logs."""

RATE, GRADIENT, WEIGHT, UPDATE = "lr-MomentumSGD", "gradient_norm", "weight_norm", "update_ratio"
IDLE, THROUGHPUT, EPOCH_ERROR = "train/gpu_idle_percent", "train/images_per_second", "train/epoch_top1_error"

FILTERS, PREDICTIONS, CONFUSIONS = "kernels", "val/predictions", "test/confusions"
