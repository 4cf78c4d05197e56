"""Which tested networks are independent ones (§7): averages and intervals count each network once."""

import json
from collections.abc import Iterable

from alexnet_pl.evaluation.result import TestedNetwork


def network_key(network: TestedNetwork) -> str:
    """What decides a network, its seed included: training it again would give no independent one.

    Where the seed was not noted, the weights stand for it.
    """
    stages = [stage.training for stage in network.lineage]
    decides = [network.checkpoint.network if network.seed is None else network.seed, network.training, stages]
    return json.dumps(decides, sort_keys=True)


def are_independent(networks: Iterable[TestedNetwork]) -> bool:
    """Whether no two networks have the same weights, or the same settings and seed."""
    given = list(networks)
    weights = {one.checkpoint.network for one in given}
    return len(weights) == len({network_key(one) for one in given}) == len(given)
