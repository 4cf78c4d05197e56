"""`probe`: a linear classifier on a run's features, for the images of its own store or another one."""

import re
import time
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from alexnet_pl.config.options import make_probe_options
from alexnet_pl.config.schema import store_root
from alexnet_pl.console import print_message
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation.result import append_top5
from alexnet_pl.experiment import build
from alexnet_pl.json_records import to_json, write_json
from alexnet_pl.retrieval import gallery
from alexnet_pl.retrieval.linear_probe import ProbeResult, check_memory, probe_features
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.provenance import current_commit
from alexnet_pl.runtime.device import choose_device
from alexnet_pl.table import Table, print_tables


def probe(cfg: DictConfig, folder: Path) -> float:
    """Fit and test the probe; returns its top-1 error in percent. Features are cached in the run folder: for the run's
    own store where `features` saves them, for other stores in probe/NAME/."""
    options = make_probe_options(cfg)
    store = Store(store_root(cfg))
    cfg = cfg.copy()
    cfg.data.name = store.name
    data = build.make_data(cfg)
    data.check()
    results = folder / "probe" / re.sub(r"[^\w-]", "_", store.name)
    is_own_store = read_checkpoint(cfg.ckpt_path)["alexnet_pl"].get("store", {}).get("fingerprint") == store.fingerprint
    start = time.perf_counter()
    extractor = gallery.make_extractor(cfg, layer=options.layer, key="probe.layer")
    check_memory(len(store.classes), extractor.width, options.layer, choose_device(cfg))
    extracted = [
        gallery.extract_features(cfg, folder if is_own_store else results, split, extractor)
        for split in ("train", data.test_split_name)
    ]
    (train, _), (tested, _) = extracted
    seconds = time.perf_counter() - start
    result = probe_features(train, tested, len(store.classes), options, cfg.seed, choose_device(cfg))
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{options.layer}.json"
    write_json(path, to_json(replace(result, commit=current_commit())))
    cost = f"{seconds:,.1f} s" if any(new for _, new in extracted) else "from the cache"
    report(result, cost, path)
    return result.top1_error


def report(result: ProbeResult, cost: str, path: Path) -> None:
    rows = [
        [f"{few.shots}", f"{few.top1_error:.2f}", "{:.2f} to {:.2f}".format(*few.top1_error_interval)]
        for few in result.shots
    ]
    if rows:
        note = f"Means of {result.shots[0].draws} draws, penalty {result.few_shot_penalty:g}; intervals over draws."
        print_tables([Table("Few-shot", ["images a class", "top-1 error, %", "95 % interval"], rows, (note,))])
    low, high = result.top1_error_interval
    print_message(
        f"{result.dataset.name}, {result.images:,} {result.dataset.split} images, logistic regression on "
        f"{result.layer} ({result.width:,} numbers): top-1 error {result.top1_error:.2f} % (95 %: {low:.2f} to "
        f"{high:.2f}){append_top5(result.dataset.classes, result.top5_error)}\n"
        f"penalty {result.penalty:g}, chosen on {result.held_out:,} held-out training images; features {cost}, "
        f"fits {result.seconds:,.1f} s",
        path,
    )
