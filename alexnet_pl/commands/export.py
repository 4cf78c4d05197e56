"""`export`: write a run's network for other programs, with a model card, and verify the written file."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alexnet_pl.commands.run_options import ExportOptions
from alexnet_pl.console import print_message, progress
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError, not_installed, reason
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.files import write_page
from alexnet_pl.inference.export_folder import CARD, CONFIG, ExportInfo, exported_formats, read_graph_views
from alexnet_pl.inference.graphs import FORMATS, largest_difference
from alexnet_pl.inference.model_card import model_card
from alexnet_pl.inference.trained_network import TrainedNetwork, build_network
from alexnet_pl.inference.weights import HUB, Weights, is_graph, read_run_weights
from alexnet_pl.json_records import to_json, write_json
from alexnet_pl.runs.checkpoint import weights_sha256
from alexnet_pl.runs.layout import CHECKPOINTS, checkpoint_of_run, read_config
from alexnet_pl.temporary_files import replacing

CHECKED = 32  # number of images on which the written file is compared with the network
TORCHVISION = (
    "format=torchvision: torchvision's AlexNet is another network (64 kernels in conv1, no groups, no response "
    "normalization), which cannot hold these weights; format=safetensors, onnx or torch_export"
)


def export(runs: list[Path], options: ExportOptions) -> None:
    if len(runs) != 1:
        raise UserError("export: give one run folder: export RUN [format=onnx] [out=FOLDER]")
    check_format(options.format)
    (run,) = runs
    read_config(run)  # raises UserError unless it is a run folder
    checkpoint = checkpoint_of_run(run, f"{CHECKPOINTS}/{options.ckpt_path}.ckpt")
    weights = read_run_weights(run, checkpoint)
    network = build_network(weights, checkpoint, options.views)
    name = FORMATS[options.format][0]
    store = find_store(run, options.root)
    own = run / "export"
    out = Path(options.out) if options.out else own
    digest = weights_sha256(weights.tensors)
    views = read_graph_views(out, name if out.resolve() == own.resolve() else None, digest)
    if is_graph(name):
        views[name] = options.views
    out.mkdir(parents=True, exist_ok=True)
    compared = write_checked(network, weights, options.format, out, store)
    info = ExportInfo(**vars(weights.info), weights=digest, views=views)
    files = write_description(run, out, info, options.publish, store)
    megabytes = (out / name).stat().st_size / 1e6
    print_message(f"{options.format}, {megabytes:,.1f} MB; {compared}", out / name)
    if options.publish:
        publish_to_hub(out, files, options.publish)


def write_description(run: Path, out: Path, info: ExportInfo, address: str | None, store: Store | None) -> list[str]:
    """Write config.json and the model card of an export folder. Returns the names of all its files. `address`: where
    the folder will be published."""
    write_json(out / CONFIG, to_json(info))
    known = store.manifest if store and store.fingerprint == info.store.fingerprint else None
    files = exported_formats(out)
    formats = {one: info.views.get(file, "") for one, file in files.items()}
    write_page(out / CARD, model_card(info, run, address or out.resolve().name, known, formats))
    return [CARD, CONFIG, *files.values()]


def check_format(name: str) -> None:
    if name == "torchvision":
        raise UserError(TORCHVISION)
    if name not in FORMATS:
        raise UserError(f"format={name}: one of {', '.join(FORMATS)}")


def write_checked(network: TrainedNetwork, weights: Weights, file_format: str, out: Path, store: Store | None) -> str:
    """Write the file of a format and compare what it computes with the network, in words. Raises UserError, and leaves
    no file, if they differ."""
    name, write, run_written = FORMATS[file_format]
    if is_graph(name):
        progress(f"writing {name} and comparing it with the network, a minute or more")
    with replacing(out / name) as temporary:
        write(network, weights, temporary)
        images, kind = images_to_check(store, network.size)
        difference = largest_difference(network, temporary, run_written, images)
    return f"largest difference of a probability {difference:.1g}, on {kind}"


def find_store(run: Path, root: str | None) -> Store | None:
    """Store with the images of the run, at `root` or where the run found it; None if the latter no longer exists.
    Raises UserError if `root` is given and holds other images."""
    try:
        return TrainedRun(run, root).store
    except UserError:
        if root:
            raise
        return None


def images_to_check(store: Store | None, size: int) -> tuple[Tensor, str]:
    """Validation images of the run's store, evenly spaced; random images if there are none."""
    try:
        split = store.split("val") if store else None
    except UserError:
        split = None
    if split is None:
        noise = np.random.default_rng(0).integers(0, 256, (CHECKED, 3, size, size), dtype=np.uint8)
        lacking = "the store has no validation images" if store else "the store does not exist"
        return torch.from_numpy(noise), f"{CHECKED} random images, since {lacking}"
    numbers = np.linspace(0, len(split) - 1, min(CHECKED, len(split))).round().astype(np.int64)
    return split.images(numbers), f"{len(numbers)} validation images"


def publish_to_hub(folder: Path, files: list[str], target: str) -> None:
    """Push `files` of the folder, and no others, if the user is logged in to the hub; else list them."""
    try:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import HfHubHTTPError
    except ModuleNotFoundError as error:
        raise not_installed(error.name, "export", f"publish={target}") from error
    if not get_token():
        return print_message(
            f"not logged in to the hub (hf auth login); would push {', '.join(files)} to {target}", folder
        )
    repository = target.removeprefix(HUB)
    try:
        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=files)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(f"publish={target}: not pushed ({reason(error)})") from error
    print_message(f"pushed {', '.join(files)} to {target}", folder)
