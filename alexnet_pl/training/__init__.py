"""LightningModule, update rule, schedules, checkpoints and loggers of a fit (§6)."""
