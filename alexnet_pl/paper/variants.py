"""Variants of a network: the settings in which the paper's rows differ, and those that compared networks must share."""

import json
from collections import Counter

from alexnet_pl.config.identity import Settings
from alexnet_pl.config.nested_keys import dotted_leaves
from alexnet_pl.paper import matching
from alexnet_pl.paper.claim import Claim

PROXY_KEYS = ("augment.crop", "model.width", "model.init")  # may differ between the networks on a proxy and the paper's
# settings of the optimizer in which the text differs from the program, or the program's networks from each other
VARIED_OPTIM_KEYS = ("bias_lr_scale", "decay_biases", "layer_decay")
VARIED_SCHEDULE_KEYS = ("biases", "freeze_conv1")  # of the chosen schedule: likewise
ORDER_KEY = "shuffle"  # of section data: our order of images differs from the program's
Variant = tuple[str, frozenset[tuple[str, int]], str]
"""Views, number of networks with each `variant_key`, and the images on which an ensemble's weights were tuned."""


def variant_key(training: Settings, pretrained: bool) -> str:
    """Settings in which compared networks differ, as text: network (without width and initial weights), augmentation,
    the rules for biases and layers, the order of images. A rule of the schedule is in it only if it is not the
    program's, since networks with another schedule are of the same variant."""
    rules = {key: training["optim"].get(key) for key in VARIED_OPTIM_KEYS}
    schedule = {key: value for key, value in training["schedule"].items() if key in VARIED_SCHEDULE_KEYS}
    order = {ORDER_KEY: training["data"].get(ORDER_KEY)}
    sections = {
        "model": training["model"], "augment": training["augment"], "optim": rules, "data": order, "schedule": schedule
    }  # fmt: skip
    compared = {key: value for key, value in dotted_leaves(sections) if key not in PROXY_KEYS}
    return json.dumps([compared, pretrained], sort_keys=True)


def comparable_settings(training: Settings) -> Settings:
    """Training settings that must be equal for two runs to be compared: not the learning rate, nor a `variant_key`."""
    free = ("lr", *VARIED_OPTIM_KEYS)
    return {
        "crop": training["augment"]["crop"],
        "optim": {key: value for key, value in training["optim"].items() if key not in free},
        "data": {key: value for key, value in training["data"].items() if key != ORDER_KEY},
        "schedule": {key: value for key, value in training["schedule"].items() if key not in VARIED_SCHEDULE_KEYS},
        "trainer": training["trainer"],
    }


def claimed_variant(claim: Claim) -> Variant | None:
    """Variant that a claim is about, on any images; None if no recipe trains it."""
    if not claim.recipe:
        return None
    networks = matching.recipe_networks(claim.recipe, claim.overrides)
    variants = Counter(variant_key(network.training, bool(network.lineage)) for network in networks)
    return claim.views, frozenset(variants.items()), ""
