"""docs/reference/trainer.md: options of Lightning's Trainer that work, and those that are refused."""

from alexnet_pl.experiment.trainer_options import OTHER_STRATEGIES, REFUSED, WORKS
from pages.markdown import NOTE, table

TRAINER_HEAD = """\
`trainer.OPTION=value` sets an option of
[Lightning's Trainer](https://lightning.ai/docs/pytorch/stable/common/trainer.html). Each either works or is refused in
one line that says why; none is ignored. The defaults that recipes set are in [Config keys](config.md#trainer).
"""


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
