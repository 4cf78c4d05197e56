"""Imported networks against independent implementations in float64: layers, channels and crops of each program."""

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import caffe_files
import cuda_convnet_net
import numpy as np
import pytest
import torch
import torchvision
from python2_pickle import OldStyle, dumps
from torch import Tensor, nn

from alexnet_pl import load
from alexnet_pl.commands import dispatch, registry
from alexnet_pl.inference.imports.caffe import read_caffe
from alexnet_pl.inference.trained_network import TrainedNetwork

IDS = [f"n{number:08d}" for number in (70, 10, 40, 20, 90, 30, 80, 50, 60, 11)]  # not sorted
ORDER = np.argsort(IDS)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "synset_words.txt"
    path.write_text("".join(f"{identity} name of {identity}, {i}\n" for i, identity in enumerate(IDS)))
    return path


@pytest.fixture
def pictures() -> Tensor:
    smooth = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(5))
    return (255 * nn.functional.interpolate(smooth, 256, mode="bicubic").clamp(0, 1)).to(torch.uint8)


def imported(file: Path, *words: object) -> TrainedNetwork:
    out = file.parent / "imported"
    dispatch.run_on_folders(registry.find("import"), [str(file), f"out={out}", *map(str, words)])
    return load(out, "center")


def checkpoint(path: Path, layers: Any) -> Path:
    op = OldStyle("options", "OptionsParser", options={"epochs": OldStyle("options", "Option", value=93)})
    path.write_bytes(dumps({"model_state": {"layers": layers, "epoch": 91, "batchnum": 1}, "op": op}))
    return path


def test_net_145_matches_its_layers_computed_independently(tmp_path: Path, classes: Path, pictures: Tensor) -> None:
    layers = cuda_convnet_net.net145()
    mean = np.random.default_rng(1).uniform(90, 140, (3, 256, 256)).astype(np.float32)
    meta = tmp_path / "batches.meta"
    meta.write_bytes(dumps({"data_mean": mean.reshape(-1, 1), "num_vis": 3 * 256**2, "label_names": IDS}))
    model = imported(checkpoint(tmp_path / "91.1", layers), f"classes={classes}", f"mean={meta}")
    views = (pictures.double().numpy() - mean.astype(np.float64))[:, :, 16:240, 16:240]
    computed = [cuda_convnet_net.compute(layers, view) for view in views]
    wanted = np.stack([one["probs"] for one in computed])[:, ORDER]
    np.testing.assert_allclose(model(pictures).numpy(), wanted, atol=2e-5)
    fc7 = np.stack([np.concatenate([one["fc2048ba_neuron"], one["fc2048bb_neuron"]]) for one in computed])
    np.testing.assert_allclose(model.features(list(pictures)).numpy(), fc7, atol=1e-3)
    assert [pair[0] for pair in model.weights_info.classes] == sorted(IDS)
    assert model.classes[0] == "name of n00000010, 1"


@pytest.mark.parametrize("kind", ["dropout", "dropout2"])
def test_dropout_of_cuda_convnet2_is_scaled_where_its_layer_is(
    tmp_path: Path, classes: Path, pictures: Tensor, kind: str
) -> None:
    layers = cuda_convnet_net.net145()
    for name in ("hs1a", "hs1b", "hs2a", "hs2b"):
        layers[name]["type"] = kind
    model = imported(checkpoint(tmp_path / "91.1", layers), f"classes={classes}", "mean=0,0,0")
    views = pictures.double().numpy()[:, :, 16:240, 16:240]
    wanted = np.stack([cuda_convnet_net.compute(layers, view)["probs"] for view in views])[:, ORDER]
    np.testing.assert_allclose(model(pictures).numpy(), wanted, atol=2e-5)


@pytest.mark.parametrize("kind", ["dictionary", "ordered", "list"])
def test_layers_may_be_a_dictionary_or_a_list(tmp_path: Path, kind: str) -> None:
    """Formats of the 2012 program, cuda-convnet2 and cuda-convnet."""
    from alexnet_pl.inference.imports.cuda_convnet import read_cuda_convnet

    layers: Any = cuda_convnet_net.net145()
    wanted = read_cuda_convnet(checkpoint(tmp_path / "reference", layers))
    if kind == "ordered":
        layers = OrderedDict(reversed(layers.items()))
    elif kind == "list":
        names = list(layers)
        layers = [layer | {"inputs": [names.index(one) for one in layer["inputs"]]} for layer in layers.values()]
    found = read_cuda_convnet(checkpoint(tmp_path / "file", layers))
    assert found.model == wanted.model
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in wanted.tensors.items())


def test_compressed_checkpoint_is_that_of_the_file_within(tmp_path: Path) -> None:
    """`pickle(…, compress=True)` of the program writes a ZIP file with one entry, `data`."""
    from alexnet_pl.inference.imports.cuda_convnet import read_cuda_convnet

    plain = checkpoint(tmp_path / "91.1", cuda_convnet_net.net145())
    with zipfile.ZipFile(tmp_path / "zipped", "w", zipfile.ZIP_DEFLATED, allowZip64=True) as file:
        file.writestr("data", plain.read_bytes())
    found, wanted = read_cuda_convnet(tmp_path / "zipped"), read_cuda_convnet(plain)
    assert found.model == wanted.model
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in wanted.tensors.items())


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("npy", [False, True])
def test_caffes_alexnet_matches_plain_operations_on_bgr(
    tmp_path: Path, classes: Path, pictures: Tensor, v1: bool, npy: bool
) -> None:
    weights = caffe_files.random_weights()
    mean = np.random.default_rng(1).uniform(90, 140, (3, 256, 256)).astype(np.float32)
    if npy:
        np.save(tmp_path / "mean.npy", mean)
    else:
        caffe_files.write_mean(tmp_path / "mean.binaryproto", mean)
    file = caffe_files.write_caffemodel(tmp_path / "bvlc_alexnet.caffemodel", weights, v1)
    model = imported(file, f"classes={classes}", f"mean={tmp_path}/mean.{'npy' if npy else 'binaryproto'}")
    blue_first = pictures.flip(1).double() - torch.from_numpy(mean).double()
    wanted = caffe_files.compute(weights, blue_first[:, :, 14:241, 14:241]).softmax(1)[:, ORDER]
    torch.testing.assert_close(model(pictures).double(), wanted, atol=2e-5, rtol=0)
    assert wanted.max() > 0.2, "the test would pass with any weights"


def test_caffes_kernels_are_copied_exactly(tmp_path: Path) -> None:
    weights = caffe_files.random_weights()
    found = read_caffe(caffe_files.write_caffemodel(tmp_path / "net.caffemodel", weights)).tensors
    assert np.array_equal(found["conv1.weight"].numpy()[:, ::-1], weights["conv1"][0])
    assert np.array_equal(found["conv4.weight"].numpy(), weights["conv4"][0])
    assert np.array_equal(found["fc7.weight"].numpy() / 2, weights["fc7"][0]), "dropout of 2012 halves what it reads"


def narrow(classes: int) -> nn.Module:
    """torchvision's network with an eighth of its kernels and units."""
    torch.manual_seed(3)
    net = torchvision.models.alexnet(num_classes=classes)
    before = 3
    for i, layer in enumerate(net.features):
        if isinstance(layer, nn.Conv2d):
            kernels = layer.out_channels // 8
            net.features[i] = nn.Conv2d(before, kernels, layer.kernel_size, layer.stride, layer.padding)  # type: ignore[arg-type]
            before = kernels
    units = {1: (32 * 36, 512), 4: (512, 512), 6: (512, classes)}
    for i, (rows, outputs) in units.items():
        net.classifier[i] = nn.Linear(rows, outputs)
    for parameter in net.parameters():
        parameter.data *= 2.5
    return net.eval()


def test_torchvisions_alexnet_matches_torchvision(tmp_path: Path, classes: Path, pictures: Tensor) -> None:
    net = narrow(len(IDS))
    torch.save(net.state_dict(), tmp_path / "alexnet-owt-7be5be79.pth")
    model = imported(tmp_path / "alexnet-owt-7be5be79.pth", f"classes={classes}")
    prepared = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.transforms()(pictures).double()
    with torch.no_grad():
        wanted = net.double()(prepared).softmax(1)[:, ORDER]
    torch.testing.assert_close(model(pictures).double(), wanted, atol=2e-5, rtol=0)
    assert wanted.max() > 0.2, "the test would pass with any weights"
