"""Names under which a fit logs its metrics."""

RATE_METRIC = "lr-MomentumSGD/"

RATE, GRADIENT, WEIGHT, UPDATE = "lr-MomentumSGD", "gradient_norm", "weight_norm", "update_ratio"
IDLE = "train/gpu_idle_percent"

FILTERS, PREDICTIONS, CONFUSIONS = "kernels", "val/predictions", "test/confusions"
