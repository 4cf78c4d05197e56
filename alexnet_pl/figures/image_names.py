"""Names of the images of a run, in captions and on its page."""

from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.paper.claim import DATASETS
from alexnet_pl.paper.variant_labels import DEMOS


def are_drawn(run: TrainedRun) -> bool:
    """Whether this package drew the images: read from the store, or if that is not there, by the demos' names."""
    try:
        return bool((run.store.manifest.settings or {}).get("drawn"))
    except UserError:
        return run.cfg.data.name in DEMOS


def name_images(run: TrainedRun) -> str:
    """Name of the store: "demo (drawn)"."""
    return f"{run.cfg.data.name}{' (drawn)' * are_drawn(run)}"


def relation_to_paper(run: TrainedRun, name: str | None) -> str:
    """Words for images other than the paper's, with a comma before them. `name`: that of the store."""
    if name in {images.name for images in DATASETS.values()}:
        return ""
    return ", drawn images" if are_drawn(run) else ", a proxy for the paper's"
