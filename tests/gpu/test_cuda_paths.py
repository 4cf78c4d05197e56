"""CUDA code paths against the CPU's results. Most also run on the CPU, which keeps them tested."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import images, small
from PIL import Image
from run_folders import whole_and_cut
from running import Compose, last, run
from torch import Tensor
from torch.nn import functional as F

from alexnet_pl.data.loading.augment import Augment, Batch, Draws
from alexnet_pl.data.loading.streaming import CpuBuffer, GpuDecodeBuffer, batches_on_gpu, stream_batches
from alexnet_pl.data.store.jpeg import JpegReader
from alexnet_pl.data.store.store import Store
from alexnet_pl.models.layers import LocalResponseNorm, NormLayer, SpatialNorm
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.cuda_graph import EAGER_STEPS, CudaGraphStep
from alexnet_pl.training.optimizer import MomentumSGD, parameter_groups
from alexnet_pl.training.performance import Performance

CUDA = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")]
)


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Device with full float32 precision, as on the CPU."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield torch.device(request.param)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("norm", [LocalResponseNorm(towers=2), SpatialNorm()], ids=["maps", "pixels"])
def test_compiled_norms_equal_float64_forward_and_backward(norm: NormLayer, device: torch.device) -> None:
    a, grad = (80 * torch.randn(2, 8, 13, 13, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    exact, own = a.double().requires_grad_(), a.to(device).requires_grad_()
    norm.compiled = False
    expected = norm(exact)
    expected.backward(grad.double())
    norm.compiled = True
    found = norm(own)
    found.backward(grad.to(device))
    assert exact.grad is not None
    assert own.grad is not None
    torch.testing.assert_close(found.double().cpu(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own.grad.double().cpu(), exact.grad, rtol=1e-4, atol=1e-4)


def make_augment(**options) -> Augment:
    augment = Augment(size=40, crop=32, **options)
    mean = np.random.default_rng(0).uniform(90, 140, (3, 40, 40)).astype(np.float32)
    augment.set_statistics(mean, np.array([[900.0, 200, 100], [200, 1400, 300], [100, 300, 2000]]))
    return augment


def stored_images(count: int = 6) -> Tensor:
    return torch.randint(256, (count, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("mean", ["center", "per_position"])
def test_fused_augmentation_equals_the_eager_one(mean: str, device: torch.device) -> None:
    stored, plain = stored_images(), make_augment(mean=mean)
    draws = plain.draw(seed=1, epoch=2, batch=3, count=len(stored))
    fused = make_augment(mean=mean).to(device)
    fused.fused = True
    view = fused(stored.to(device), Draws(*(each.to(device) for each in draws)))
    torch.testing.assert_close(view.cpu(), plain(stored, draws), rtol=1e-5, atol=1e-3)


def test_fused_update_equals_the_formula_across_a_rate_change(device: torch.device) -> None:
    """v ← 0.9 · v − 0.0005 · ε · w − ε · g, in float64 (§6)."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 7, generator=generator)
    weight = torch.nn.Parameter(start.clone().to(device))
    sgd = MomentumSGD([{"params": [weight]}], 0.01, 0.9, 0.0005, fused=True)
    w, v = start.double(), torch.zeros(5, 7, dtype=torch.float64)
    for rate in (0.01, 0.01, 0.001, 0.001):
        sgd.param_groups[0]["lr"] = rate
        gradient = torch.randn(5, 7, generator=generator)
        weight.grad = gradient.to(device)
        sgd.step()
        v = 0.9 * v - 0.0005 * rate * w - rate * gradient.double()
        w = w + v
    torch.testing.assert_close(weight.detach().double().cpu(), w, rtol=1e-6, atol=1e-6)


def train(device: torch.device, graph: bool) -> Tensor:
    """Weights of fc8 after ten steps of a small network, with a tenth of the rate after seven.

    In float64: in float32, sums in another order change which unit of a pool is largest, and its whole gradient moves.
    """
    net = small(dropout=0.0, width=0.25).double().train().to(device, memory_format=torch.channels_last)
    sgd = MomentumSGD(parameter_groups(net, 1e-3, 5e-4, 2.0, False), 1e-3, 0.9, 5e-4, fused=True)
    none = Draws(*(torch.zeros(0, device=device) for _ in range(3)))

    def step(batch: Batch) -> None:
        sgd.zero_grad()
        F.cross_entropy(net(batch.images), batch.labels).backward()
        sgd.step()

    run = CudaGraphStep(step, lambda: tuple(group["lr"] for group in sgd.param_groups)) if graph else step
    for number in range(EAGER_STEPS + 7):
        for group in sgd.param_groups:
            group["lr"] = group["initial_lr"] / (10 if number >= 7 else 1)
        run(Batch(images(4, seed=number).double().to(device), torch.arange(4, device=device), none))
    return net.fc8.weight.detach().cpu()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_replayed_steps_equal_launched_ones() -> None:
    gpu = torch.device("cuda")
    torch.testing.assert_close(train(gpu, graph=True), train(gpu, graph=False), rtol=1e-6, atol=1e-9)


def test_training_steps_equal_the_cpu(device: torch.device) -> None:
    torch.testing.assert_close(
        train(device, graph=False), train(torch.device("cpu"), graph=False), rtol=1e-6, atol=1e-9
    )


def test_ten_views_together_equal_one_after_the_other(device: torch.device) -> None:
    """(N, 10) mean probabilities of §5.1: one batch of ten views on the device, against single views in float64."""
    net, augment = small(crop=67), Augment(size=80, crop=67)
    augment.set_statistics(np.full((3, 80, 80), 120, np.float32), np.eye(3))
    stored = torch.randint(256, (3, 3, 80, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        views = [F.softmax(net.double()(view.double()), 1) for view in augment.views(stored, "ten")]
        module = Classifier(net.float(), augment, {}, performance=Performance()).to(device).eval()
        module.apply_performance(device)
        together = module.log_probabilities(stored.to(device), "ten").exp()
    torch.testing.assert_close(together.double().cpu(), torch.stack(views).mean(0), rtol=1e-4, atol=1e-6)


def test_cached_split_gives_the_streamed_batches(tiny_store: Path, device: torch.device) -> None:
    split, order = Store(tiny_store).split("train"), np.arange(12)[::-1].copy()
    batches = [order[:5], order[5:10], order[10:]]
    for (kept, kept_labels), (read, labels) in zip(
        batches_on_gpu(split, batches, 5, device), stream_batches(split, batches, 5, torch.device("cpu")), strict=True
    ):
        assert torch.equal(kept.cpu()[: len(labels)], read[: len(labels)])
        assert torch.equal(kept_labels.cpu(), labels)


def test_streamed_jpegs_are_those_that_pillow_decodes(jpeg_store: Path, device: torch.device) -> None:
    """Within rounding: libjpeg-turbo has several equally exact transforms."""
    split = Store(jpeg_store).split("val")
    assert isinstance(split.reader, JpegReader)
    files = [Image.open(io.BytesIO(split.reader.jpeg_bytes(slot))) for slot in split.slots.tolist()]
    expected = torch.from_numpy(np.stack([np.array(file) for file in files])).permute(0, 3, 1, 2)
    (found, _), *_ = stream_batches(split, [np.arange(8)], 8, device)
    assert (found.cpu().float() - expected.float()).abs().mean() < 1


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")  # of torchvision 0.29
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_jpegs_decoded_by_the_gpu_differ_little(jpeg_store: Path) -> None:
    """Four gray levels on average: nvJPEG repeats half-resolution colors where the CPU interpolates them, which alone
    makes 1.75 to 3.4 on these drawings; exchanged channels or images would make tens."""
    split, batches = Store(jpeg_store).split("val"), [np.arange(8)]
    (own, _), *_ = stream_batches(split, batches, 8, torch.device("cpu"), buffer_class=CpuBuffer)
    (other, _), *_ = stream_batches(split, batches, 8, torch.device("cuda"), buffer_class=GpuDecodeBuffer)
    assert (own.float() - other.cpu().float()).abs().mean() < 4


def on_device(device: torch.device) -> str:
    return f"trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}"


def read_weights(folder: Path) -> Tensor:
    """All weights of a fit's last checkpoint in one vector."""
    state = torch.load(last(folder), map_location="cpu", weights_only=True)["state_dict"]
    return torch.cat([value.flatten() for name, value in state.items() if name.startswith("net.")])


def test_fit_with_a_replayed_graph_trains_the_same_weights(
    config: Compose, tiny: list[str], tmp_path: Path, device: torch.device
) -> None:
    """Twelve steps, of which the last nine are replayed on a GPU.

    The weights differ by a small part of what training changed: a replayed step at a stale rate, or on the batch of
    the capture, would move them elsewhere by about as much as all of training.
    """

    if device.type == "cpu":
        pytest.skip("a CPU has no CUDA graphs; such a fit is refused")

    def fit(*words: str) -> Tensor:
        folder = tmp_path / "-".join(["fit", *words])
        run(config("imagenette", *tiny, on_device(device), "trainer.precision=32-true", *words), "fit", folder)
        return read_weights(folder)

    start, launched, replayed = fit("optim.lr=0"), fit(), fit("performance.cuda_graph=true")
    assert (replayed - launched).norm() < 0.1 * (launched - start).norm()


def test_resumed_fit_trains_the_same_weights(
    config: Compose, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    """A fit that is interrupted in step seven of twelve; on a GPU with all that makes it fast.

    With other units dropped, or other velocities, the weights would differ by a large part of what training changed.
    """
    words = [*tiny, on_device(device), "trainer.precision=32-true"]
    if device.type == "cuda":
        words += ["performance.compile=auto", "performance.cuda_graph=true"]
    run(config("imagenette", *words, "optim.lr=0"), "fit", tmp_path / "start")
    whole_and_cut(config("imagenette", *words), tmp_path, monkeypatch, 7)
    start, whole, cut = (read_weights(tmp_path / name) for name in ("start", "whole", "cut"))
    assert (cut - whole).norm() < 0.1 * (whole - start).norm()
