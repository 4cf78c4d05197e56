"""Which tested networks are independent ones (§7): averages and intervals count each network once."""

import json
from collections.abc import Iterable
from typing import Any


def weights_of(checkpoint: dict[str, Any]) -> str:
    """The hash of a checkpoint's weights; in older records, of the whole file."""
    return checkpoint.get("weights") or checkpoint["sha256"]


def network_key(facts: dict[str, Any]) -> str:
    """What decides a network, its seed included: training it again would give no independent one.

    `facts`: a result, or a member of an ensemble's. Where the seed was not noted, the weights stand for it.
    """
    stages = [stage.get("training") for stage in facts.get("lineage") or []]
    seed = facts.get("seed")
    decides = [weights_of(facts["checkpoint"]) if seed is None else seed, facts.get("training"), stages]
    return json.dumps(decides, sort_keys=True)


def are_independent(networks: Iterable[dict[str, Any]]) -> bool:
    """Whether no two networks have the same weights, or the same settings and seed."""
    given = list(networks)
    weights = {weights_of(one["checkpoint"]) for one in given}
    return len(weights) == len({network_key(one) for one in given}) == len(given)
