"""Class of each output of imported weights, from a list of classes, a devkit or a store."""

import re
from pathlib import Path

from alexnet_pl.data.archives.tar import WNID
from alexnet_pl.data.sources.devkit import read_devkit
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.inference.imports.foreign import ForeignNetwork

Classes = list[list[str]]
NEEDED = (
    "classes: not given; add classes=FILE with one class per output and line, as in Caffe's synset_words.txt "
    "(n01440764 tench, Tinca tinca), or an ILSVRC development kit, or data.root=STORE"
)


def output_classes(network: ForeignNetwork, listed: str | None, root: str | None) -> tuple[Classes, str]:
    """Return ([id, name] of each output, source of that order). Raises UserError if the number of classes differs."""
    if listed:
        classes, basis = read_list(Path(listed))
    elif root:
        classes, basis = store_order(root, network)
    else:
        raise UserError(NEEDED)
    if len(classes) != network.outputs:
        raise UserError(f"{listed or root}: {len(classes):,} classes; the weights have {network.outputs:,} outputs")
    return classes, basis


def read_list(path: Path) -> tuple[Classes, str]:
    """Read classes from a text file in line order, or from a devkit in the order of ILSVRC class numbers."""
    if path.is_dir() or path.name.endswith((".tar", ".tar.gz", ".tgz")):
        synsets = read_devkit(path).synsets
        return [list(synsets[number]) for number in sorted(synsets)], f"ILSVRC class numbers of {path.name}"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"classes={path}: cannot be read as text ({error})") from error
    classes = [
        [word, rest.strip() or word] for word, _, rest in (re.sub(r"\s+", " ", one).partition(" ") for one in lines)
    ]
    ids = [identity for identity, _ in classes]
    if not ids or len(set(ids)) != len(ids):
        raise UserError(f"classes={path}: needs one class per line, an id that occurs once and then its name")
    return classes, f"the lines of {path.name}"


def store_order(root: str, network: ForeignNetwork) -> tuple[Classes, str]:
    """Return a store's classes in the order that the program is known to use; a weights file does not say it."""
    store = Store(root)
    if not network.number_order:
        if network.outputs == 1000 and not all(WNID.fullmatch(identity) for identity, _ in store.classes):
            raise UserError(f"data.root: the classes of {root} are not WordNet ids; add classes=FILE")
        return store.classes, f"assumed: {network.order}"
    numbers = store.manifest.ilsvrc_ids
    if not numbers:
        raise UserError(
            f"data.root: {root} was prepared without a development kit, so the program's order of classes is not "
            "known; add classes=FILE or the development kit"
        )
    pairs = sorted(zip(numbers, store.classes, strict=True))
    return [pair for _, pair in pairs], f"assumed: {network.order}"


def sort_classes(network: ForeignNetwork, classes: Classes) -> tuple[ForeignNetwork, Classes]:
    """Sort the outputs of a network by class id, the order of classes in stores."""
    order = sorted(range(len(classes)), key=lambda output: classes[output][0])
    sorted_tensors = {name: network.tensors[name][order] for name in ("fc8.weight", "fc8.bias")}
    changed = ForeignNetwork(**{**vars(network), "tensors": network.tensors | sorted_tensors})
    return changed, [classes[output] for output in order]
