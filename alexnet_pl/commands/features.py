"""`features`: fc7 features of the images of a split (§7.1)."""

import time
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.config import options
from alexnet_pl.console import print_message
from alexnet_pl.experiment import build, processes
from alexnet_pl.retrieval import gallery
from alexnet_pl.retrieval.extraction import Share
from alexnet_pl.training.strategies import peers


def features(cfg: DictConfig, folder: Path) -> None:
    """Save the features of the chosen splits in the run folder, computed by all processes of the job."""
    data = build.make_data(cfg)
    chosen = options.make_feature_options(cfg).split
    splits = [chosen] if chosen else ["train", data.test_split_name]
    for split in splits:
        data.store.split(split)  # raises UserError before features of another split are extracted
    fabric = processes.launch(cfg, folder)
    for split in splits:
        if split != "train":  # which has hundreds of gigabytes; a fit reads it without verifying, too
            data.store.check_shards(split)
    peers.wait_for_first()
    share = Share(fabric.global_rank, fabric.world_size, fabric.barrier, fabric.broadcast)
    extractor = gallery.make_extractor(cfg, fabric.device)
    for split in splits:
        start = time.perf_counter()
        saved, is_new = gallery.extract_features(cfg, folder, split, extractor, share)
        rate = f", {len(saved) / (time.perf_counter() - start):,.0f} images/s" if is_new else ", extracted before"
        size = f"{saved.values.nbytes / 1e6:,.0f} MB"
        print_message(
            f"{len(saved):,} {split} images, {saved.width:,} numbers each ({extractor.layer}), {size}{rate}",
            saved.folder,
        )
