"""Terms of a trained network, by the images that it was trained on."""

import re

from alexnet_pl.config.sections import DEMO
from alexnet_pl.data.store.manifest import StoreManifest
from alexnet_pl.escape import escape_text
from alexnet_pl.inference.weights import WeightsInfo

UNKNOWN = "unknown images"
IMAGENET = {
    "license": "other",
    "license_name": "imagenet-terms-of-access",
    "license_link": "https://image-net.org/download",
}
IMAGENET_NAME = re.compile(r"(ilsvrc|fall)20\d\d|imagenette|tinyimagenet")  # stores of ImageNet's images


def trained_on(info: WeightsInfo) -> list[str]:
    """Names of the data sets that the network was trained on, those of pre-training first."""
    earlier = [stage.store.name for stage in info.lineage[:-1]]
    return [name or UNKNOWN for name in (*earlier, info.store.name)]


def is_imagenet(info: WeightsInfo) -> bool:
    return any(IMAGENET_NAME.match(name) for name in trained_on(info))


def is_drawn(info: WeightsInfo, store: StoreManifest | None) -> bool:
    """Whether this package drew all images. `store`: of the last stage of training."""
    *earlier, name = trained_on(info)
    drawn = bool((store.settings or {}).get("drawn")) if store else name == DEMO
    return drawn and {*earlier} <= {DEMO, name}


def license_fields(info: WeightsInfo, store: StoreManifest | None) -> dict[str, str]:
    """Fields of the card's header; `other`: see the section License."""
    if info.imported:
        return {"license": "other"}
    if is_imagenet(info):
        return IMAGENET
    return {"license": "mit" if is_drawn(info, store) else "other"}


def license_section(info: WeightsInfo, store: StoreManifest | None) -> str:
    if info.imported:
        return "The weights were imported: the terms of the file's publisher apply.\n"
    if is_imagenet(info):
        return (
            "Trained on ImageNet, whose terms of access allow non-commercial research and education only; users of "
            "these weights should respect them. The code of `alexnet_pl` is under the MIT license.\n"
        )
    if is_drawn(info, store):
        return "The code of `alexnet_pl`, which also drew the images, is under the MIT license.\n"
    names = escape_text(", ".join(dict.fromkeys(trained_on(info))))
    unknown = " Those of the weights that it started from are not known: their publisher's terms apply too."
    return (
        f"The code of `alexnet_pl` is under the MIT license. The images ({names}) have terms of their own."
        f"{unknown if UNKNOWN in trained_on(info) else ''}\n"
    )
