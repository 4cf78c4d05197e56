"""Test a network on a data set with some of its classes, with outputs restricted to them as in the data sets' papers.

Logits of other classes are dropped before the softmax, so that errors are among the data set's classes.
"""

from torch import nn

from alexnet_pl.errors import UserError
from alexnet_pl.training.classifier import Classifier


def class_rows(classes: list[list[str]], listed: list[list[str]], name: str) -> list[int]:
    """Output index of each class of a data set. `classes`: (id, name) of the outputs; `listed`: (id, name) of the data
    set's classes, whose ids may be four-digit positions among the sorted ids, as in ImageNet-V2.

    Raises UserError if the network lacks a class, or if the number of positions differs from its number of classes.
    """
    ids = [identity for identity, _ in classes]
    wanted = [identity for identity, _ in listed]
    outputs = {identity: output for output, identity in enumerate(ids)}
    if set(wanted) <= set(ids):  # ids may be digits too
        return [outputs[identity] for identity in wanted]
    if all(identity.isdigit() for identity in wanted):
        if wanted != [f"{position:04d}" for position in range(len(ids))]:
            raise UserError(
                f"test.data: {name} names its {len(wanted):,} classes by positions, {wanted[0]} to {wanted[-1]}; "
                f"the network has {len(ids):,} classes"
            )
        return sorted(range(len(ids)), key=lambda output: ids[output])
    unknown = [identity for identity in wanted if identity not in outputs]
    raise UserError(
        f"test.data: {name} has {len(unknown)} classes that the network does not know, such as {unknown[0]}"
    )


def restrict_outputs(module: Classifier, rows: list[int]) -> None:
    """Keep only the outputs `rows` of the last layer, in this order: a fully connected one, or OverFeat's 1×1 one."""
    last = [layer for layer in module.net.children() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    last.weight = nn.Parameter(last.weight[rows].detach())
    if last.bias is not None:
        last.bias = nn.Parameter(last.bias[rows].detach())
    setattr(last, "out_features" if isinstance(last, nn.Linear) else "out_channels", len(rows))
    module.net.num_classes = len(rows)
    module.classes = [module.classes[row] for row in rows]
