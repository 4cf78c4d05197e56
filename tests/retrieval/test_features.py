"""`features`: equal to a forward pass, bit-identical after an interruption; incomplete files are named."""

import json
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from blake3 import blake3
from damages import claim_huge_array
from feature_files import make_features, sparse
from PIL import Image
from torch.nn import functional as F

from alexnet_pl import progress
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.json_records import write_json
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.cifar import LocalNet
from alexnet_pl.models.overfeat import OverFeat
from alexnet_pl.retrieval import extraction
from alexnet_pl.retrieval.extraction import Share, extract_split
from alexnet_pl.retrieval.extractor import Extractor
from alexnet_pl.retrieval.features import Features, FeaturesInfo, FeatureSource
from alexnet_pl.runs.records import CheckpointInfo, DatasetInfo
from alexnet_pl.training.classifier import Classifier

CPU = torch.device("cpu")
CHECKPOINT = CheckpointInfo(sha256="a", step=1, file="last.ckpt")
OTHER = CheckpointInfo(sha256="b", step=2, file="last.ckpt")
SOURCE = FeatureSource(dataset=DatasetInfo(fingerprint="f", split="train"), checkpoint=CHECKPOINT)


@pytest.fixture(scope="module")
def module(tiny_store: Path) -> Classifier:
    torch.manual_seed(0)
    store = Store(tiny_store)
    augment = Augment(store.size, 67)
    augment.set_statistics(store.mean, store.covariance)
    return Classifier(AlexNet(10, crop=67), augment, {})


def make(folder: Path, module: Classifier, store: Path, layer: str = "fc7", **facts: Any) -> Features:
    split = Store(store).split("train")
    extract_split(folder, Extractor(module, layer, CPU), split, replace(SOURCE, **facts), batch_size=16)
    return Features(folder)


def images(store: Path) -> torch.Tensor:
    split = Store(store).split("train")
    found = split.buffer(len(split))
    split.read(np.arange(len(split)), found.numpy())
    return found


@torch.no_grad()
def test_features_match_a_plain_forward_pass(module: Classifier, tiny_store: Path, tmp_path: Path) -> None:
    """fc6 and fc7 in float64; dropout halves only the output of fc6, not fc7 itself."""
    found = make(tmp_path / "train-fc7", module, tiny_store)
    net, store = module.net, Store(tiny_store)
    view = images(tiny_store).double()[:, :, 2:69, 2:69] - torch.from_numpy(store.mean)[:, 2:69, 2:69]
    wide = AlexNet(10, crop=67).double().eval()
    wide.load_state_dict(net.state_dict())
    fc6 = F.relu(wide.conv_maps(view).flatten(1) @ wide.fc6.weight.T + wide.fc6.bias) / 2
    fc7 = F.relu(fc6 @ wide.fc7.weight.T + wide.fc7.bias)
    assert found.values.shape == (96, 4096)
    np.testing.assert_allclose(found.values, fc7.numpy(), rtol=2e-3, atol=1e-3)
    assert np.array_equal(found.labels, store.split("train").labels)
    assert found.names == store.split("train").names


def test_pixel_features_are_the_resized_view(module: Classifier, tiny_store: Path, tmp_path: Path) -> None:
    """Against Pillow's resize, channel by channel."""
    found = make(tmp_path / "train-pixels", module, tiny_store, "pixels")
    mean = Store(tiny_store).mean.astype(np.float32)
    view = (images(tiny_store)[5].numpy() - mean)[:, 2:69, 2:69]
    small = [Image.fromarray(plane).resize((32, 32), Image.Resampling.BILINEAR) for plane in view]
    np.testing.assert_allclose(found.values[5].reshape(3, 32, 32), np.stack(small), atol=0.2)


def test_log_gets_a_line_for_each_block(
    module: Classifier,
    tiny_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(extraction, "IMAGES_PER_BLOCK", 32)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    make(tmp_path / "train-fc7", module, tiny_store)
    lines = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [f"train-fc7: {done} of 96" for done in (32, 64, 96)]


def test_interrupted_pass_resumes_bit_identically(
    module: Classifier, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "IMAGES_PER_BLOCK", 32)
    whole = make(tmp_path / "train-fc7", module, tiny_store)
    plain, blocks = extraction.write_features, []

    def write(partial: Path, start: int, block: np.ndarray) -> None:
        if start == 64:
            raise KeyboardInterrupt
        plain(partial, start, block)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(extraction, "write_features", write)
        make(tmp_path / "cut/train-fc7", module, tiny_store)
    with pytest.raises(UserError, match=r"train-fc7: is unfinished; resume with .* features .* features.split=train"):
        Features(tmp_path / "cut/train-fc7")
    monkeypatch.setattr(extraction, "write_features", lambda *words: (blocks.append(words[1]), plain(*words)))
    cut = make(tmp_path / "cut/train-fc7", module, tiny_store)
    assert blocks == [64]
    assert np.array_equal(cut.values, whole.values)
    assert not (tmp_path / "cut/train-fc7.partial").exists()


def test_rows_are_kept_if_the_end_is_interrupted(
    module: Classifier, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older features are removed before the new ones take their place."""

    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    folder, rows = make(tmp_path / "train-pixels", module, tiny_store, "pixels").folder, []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(shutil, "rmtree", interrupt)
        make(folder, module, tiny_store, "pixels")
    monkeypatch.setattr(extraction, "write_features", lambda *words: rows.append(words[1]))
    make(folder, module, tiny_store, "pixels")
    assert rows == [], "all are there"
    assert not list(folder.glob("done*"))


@pytest.mark.parametrize("other", [{"checkpoint": OTHER}, {"dataset": DatasetInfo()}])
def test_partial_features_of_another_checkpoint_or_store_are_discarded(tmp_path: Path, other: dict[str, Any]) -> None:
    facts = FeaturesInfo(**vars(SOURCE), layer="fc7", images=8, width=4)
    partial = save_four_rows(tmp_path / "partial", facts)
    extraction.open_partial(partial, facts)
    assert extraction.read_done(partial, Share(), range(8))[0] == 4
    extraction.open_partial(partial, replace(facts, **other))
    assert extraction.read_done(partial, Share(), range(8))[0] == 0
    assert not np.load(tmp_path / "partial/features.npy").any()


def save_four_rows(partial: Path, facts: FeaturesInfo) -> Path:
    """Partial features in which four rows of ones are done."""
    extraction.open_partial(partial, facts)
    assert extraction.read_done(partial, Share(), range(8))[0] == 0
    extraction.write_features(partial, 0, np.ones((4, 4), np.float16))
    digest = blake3((partial / "about.json").read_bytes() + np.ones((4, 4), np.float16).tobytes()).hexdigest()
    write_json(partial / "done.json", {"rows": 4, "blake3": digest})
    return partial


def test_rows_that_were_changed_are_extracted_again(tmp_path: Path) -> None:
    facts = FeaturesInfo(**vars(SOURCE), layer="fc7", images=8, width=4)
    partial = save_four_rows(tmp_path / "partial", facts)
    extraction.write_features(partial, 2, np.zeros((1, 4), np.float16))
    assert extraction.read_done(partial, Share(), range(8))[0] == 0


@pytest.mark.parametrize("done", [4, -3, "4", {"rows": -4}, {"rows": 9}, {"rows": 4, "blake3": "0"}, "[" * 200_000])
def test_progress_that_is_not_ours_is_not_adopted(tmp_path: Path, done: Any) -> None:
    facts = FeaturesInfo(**vars(SOURCE), layer="fc7", images=8, width=4)
    partial = save_four_rows(tmp_path / "partial", facts)
    digest = json.loads((partial / "done.json").read_text())["blake3"]
    (partial / "done.json").write_text(
        done if isinstance(done, str) else json.dumps({"blake3": digest, **done} if isinstance(done, dict) else done)
    )
    assert extraction.read_done(partial, Share(), range(8))[0] == 0


def test_full_disk_raises_an_error(tmp_path: Path) -> None:
    """On a full disk, writing through a memory map would end the process by SIGBUS."""
    extraction.open_partial(tmp_path / "partial", FeaturesInfo(**vars(SOURCE), layer="fc7", images=512, width=4))
    size, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            extraction.write_features(tmp_path / "partial", 256, np.ones((256, 4), np.float16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_features_that_the_disk_cannot_hold_are_refused_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of ILSVRC's training images."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3e9))
    info = FeaturesInfo(**vars(SOURCE), layer="fc7", images=1_281_167, width=4096)
    with pytest.raises(UserError, match=r"^features: .*/features has 3.0 GB free, 10.5 GB are needed; free some space"):
        extraction.open_partial(tmp_path / "features/train-fc7.partial", info)
    assert not list((tmp_path / "features").iterdir())


def test_shards_of_three_processes_form_the_whole(module: Classifier, tiny_store: Path, tmp_path: Path) -> None:
    split, extractor = Store(tiny_store).split("train"), Extractor(module, "pixels", CPU)
    whole = make(tmp_path / "train-pixels", module, tiny_store, "pixels")
    partial = tmp_path / "shared.partial"
    info = FeaturesInfo(**vars(SOURCE), layer="fc7", images=len(split), width=extractor.width)
    extraction.open_partial(partial, info)
    shares = [Share(rank, 3) for rank in range(3)]
    assert [row for share in shares for row in share.rows(100)] == list(range(100))
    for share in shares:
        extraction.extract_share(partial, extractor, split, 16, share)
    assert np.array_equal(np.load(partial / "features.npy"), whole.values)


def test_values_are_memory_mapped(tmp_path: Path) -> None:
    assert isinstance(make_features(tmp_path / "train-fc7", sparse(10, 0)).values, np.memmap)


def test_nonfinite_features_are_refused(tmp_path: Path) -> None:
    extraction.open_partial(tmp_path / "partial", FeaturesInfo(**vars(SOURCE), layer="fc7", images=8, width=4))
    with pytest.raises(UserError, match=r"^ckpt_path: activations from image 0 on are not finite"):
        extraction.write_features(tmp_path / "partial", 0, np.full((4, 4), np.inf, np.float16))


def test_network_without_fc7_is_refused(tiny_store: Path) -> None:
    module = Classifier(LocalNet(10, crop=24), Augment(32, 24), {})
    with pytest.raises(UserError, match=r"^features.layer=fc7: one of conv1, conv2, local3, local4, fc10, pixels"):
        Extractor(module, "fc7", CPU)
    assert Extractor(module, "pixels", CPU).width == 3 * 32 * 32
    with pytest.raises(UserError, match=r"^features.layer=fc9: one of conv1, conv2, local3, local4, fc10, pixels"):
        Extractor(module, "fc9", CPU)
    with pytest.raises(UserError, match=r"^probe.layer=fc7: one of "):
        Extractor(module, "fc7", CPU, key="probe.layer")


@torch.no_grad()
def test_fc7_of_overfeat_is_rectified(tiny_store: Path) -> None:
    module = Classifier(OverFeat(10, crop=113, width=0.02), Augment(120, 113), {})  # 2 × 2 kernels in fc7
    extractor, squares = Extractor(module, "fc7", CPU), torch.randint(256, (2, 3, 120, 120), dtype=torch.uint8)
    (view,) = module.augment.views(squares, "center")
    pooled = F.max_pool2d(module.net.convolve(view), 3)
    expected = F.relu(module.net.fc7(pooled)).flatten(1)
    torch.testing.assert_close(extractor(squares), expected)
    assert extractor.width == module.net.fc7.out_channels


def cut_values(folder: Path) -> None:
    path = folder / "features.npy"
    path.write_bytes(path.read_bytes()[:-100])


def cut_labels(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros(9, np.int64))


def empty_labels(folder: Path) -> None:
    (folder / "labels.npy").write_bytes(b"")


def other_labels(folder: Path) -> None:
    np.save(folder / "labels.npy", np.zeros(10, np.complex64))


def one_label(folder: Path) -> None:
    np.save(folder / "labels.npy", np.int64(3))


def large_labels(folder: Path) -> None:
    np.save(folder / "labels.npy", np.full(10, 2**30))


def huge_labels(folder: Path) -> None:
    claim_huge_array(folder / "labels.npy")


@pytest.mark.parametrize(
    "cut", [cut_values, cut_labels, empty_labels, other_labels, one_label, large_labels, huge_labels]
)
def test_truncated_file_is_reported_in_one_line(tmp_path: Path, cut: Any) -> None:
    folder = make_features(tmp_path / "train-fc7", sparse(10, 0)).folder
    cut(folder)
    with pytest.raises(UserError, match=r"train-fc7: corrupt or truncated \(.*\); make them again with `features`$"):
        Features(folder)


@pytest.mark.parametrize("content", ["", "[" * 100_000, "{}"])
def test_corrupt_record_is_named(tmp_path: Path, content: str) -> None:
    folder = make_features(tmp_path / "train-fc7", sparse(10, 0)).folder
    (folder / "about.json").write_text(content)
    with pytest.raises(UserError, match=r"train-fc7/about.json: corrupt .*; make the features again$"):
        Features(folder)


def test_truncated_names_are_reported(tmp_path: Path) -> None:
    found = make_features(tmp_path / "train-fc7", sparse(10, 0))
    (found.folder / "names.jsonl").write_text('"one.jpg"\n')
    with pytest.raises(UserError, match=r"names.jsonl: 1 names, not 10"):
        _ = found.names


def test_missing_features_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"val-pixels: does not exist; make it with .* features.split=val .*layer=pixels"
    ):
        Features(tmp_path / "val-pixels")


def test_features_of_different_checkpoints_are_not_compared(tmp_path: Path) -> None:
    one = make_features(tmp_path / "train-fc7", sparse(10, 0))
    about: dict[str, Any] = {"sha256": "b" * 64, "step": 24, "file": "last.ckpt"}
    other = make_features(tmp_path / "val-fc7", sparse(10, 1), checkpoint=about)
    with pytest.raises(UserError, match=r"val-fc7: of another checkpoint or layer than .*train-fc7"):
        one.check_comparable(other)
    with pytest.raises(UserError, match=r"made from another checkpoint \(step 12\) than last.ckpt \(step 24\)"):
        one.check_checkpoint(CheckpointInfo(**about))
