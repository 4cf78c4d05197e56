"""docs/reference/trainer.md: options of Lightning's Trainer that work, and those that are refused."""

from alexnet_pl.experiment.trainer_checks import OTHER_STRATEGIES, REFUSED
from pages.markdown import NOTE, table

TRAINER_HEAD = """\
`trainer.OPTION=value` sets an option of
[Lightning's Trainer](https://lightning.ai/docs/pytorch/stable/common/trainer.html). Each either works or is refused in
one line that says why; none is ignored. Values that change nothing, such as trainer.limit_train_batches=1.0, are
accepted and leave a run in its row of the paper. The defaults that recipes set are in [Config keys](config.md#trainer).
"""
WORKS: dict[str, str] = {  # the other options
    "accelerator": "auto, cpu, gpu, cuda or mps",
    "devices": "processes on each machine, a list of device numbers, or auto for all devices; under torchrun, "
    "and srun with several tasks, as many as they have started",
    "num_nodes": "machines; under torchrun, and srun with several tasks, as many as they have started; otherwise set "
    "MASTER_ADDR, MASTER_PORT and NODE_RANK on each",
    "strategy": "auto, ddp (each device its share of every batch) or towers (half of the network on each of two); "
    "Lightning's others are refused by name",
    "precision": "auto, 32-true, tf32 or bf16-mixed; Lightning's others are refused by name",
    "max_epochs": "maximum number of epochs; the schedule may end a fit earlier",
    "min_epochs": "minimum number of epochs, even if the schedule ends earlier",
    "max_steps": "maximum number of steps",
    "min_steps": "minimum number of steps",
    "limit_train_batches": "number of batches per epoch; 1.0: all",
    "limit_val_batches": "number of batches per validation, of images spread evenly over the classes; 1.0: all; 0: no "
    "validation, which schedule.name=plateau refuses",
    "limit_test_batches": "number of batches per test, of images spread evenly over the classes; 1.0: all. The result "
    "of fewer fills no row of the paper",
    "val_check_interval": "batches, or share of an epoch, between two validations; with "
    "trainer.check_val_every_n_epoch=null, batches counted over all epochs",
    "check_val_every_n_epoch": "epochs between two validations",
    "log_every_n_steps": "steps between two lines of metrics.csv; the host waits for the device at each",
    "enable_progress_bar": "false: no progress bar",
    "deterministic": "true, false or warn: kernels of PyTorch that give the same result every time",
    "benchmark": "let cuDNN try its algorithms; the result then depends on what it chose",
    "inference_mode": "false: validate and test under no_grad",
    "profiler": "simple or advanced: time in each hook, printed at the end",
    "detect_anomaly": "name the operation whose gradient is NaN; slow",
}


def trainer_page() -> str:
    works = [(f"`trainer.{name}`", about) for name, about in sorted(WORKS.items())]
    refused = [(f"`trainer.{name}`", why) for name, why in sorted(REFUSED.items())]
    strategies = [(f"`{name.rstrip('_')}{'_*' * name.endswith('_')}`", why) for name, why in OTHER_STRATEGIES.items()]
    return "\n".join(
        [
            NOTE + "# Trainer options\n",
            TRAINER_HEAD,
            "## Options that work\n",
            table(("option", "meaning"), works),
            "## Options that are refused\n",
            table(("option", "why, and what to set instead"), refused),
            "## Strategies that are refused\n",
            table(("trainer.strategy", "why"), strategies),
        ]
    )
