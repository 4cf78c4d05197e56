"""Performance options: the same results within rounding, and each can be disabled."""

import shutil
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.layers import LocalResponseNorm, NormLayer, SpatialNorm
from alexnet_pl.runtime.compiler import compiled
from alexnet_pl.training import performance
from alexnet_pl.training.classifier import Classifier
from alexnet_pl.training.performance import IMAGES_PER_PASS, UNOPTIMIZED, Performance

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on the CPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm", [LocalResponseNorm(towers=2), SpatialNorm()], ids=["across maps", "across space"])
def test_compiled_norms_agree_with_float64_forward_and_backward(norm: NormLayer, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    start = (torch.randn(2, 12, 9, 9) * 40).to(dtype)
    upstream = torch.randn(2, 12, 9, 9).to(dtype)
    found = {}
    for name, fast, kind in (("plain", False, torch.float64), ("fast", True, dtype)):
        a = start.detach().to(kind).contiguous(memory_format=torch.channels_last).requires_grad_()
        norm.compiled = fast
        b = norm(a)
        b.backward(upstream.to(kind))
        assert b.dtype == kind
        assert a.grad is not None
        found[name] = b.detach().double(), a.grad.double()
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for fast, plain in zip(found["fast"], found["plain"], strict=True):
        assert float((fast - plain).norm() / plain.norm()) < tolerance


def test_optimized_weights_are_channels_last() -> None:
    net = AlexNet(num_classes=2, crop=67)
    Performance(compile=False, retain_memory=False).apply(net, CPU)
    assert net.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    UNOPTIMIZED.apply(net, CPU)
    assert net.conv1.weight.is_contiguous()


@pytest.mark.parametrize("wanted", [True, False])
def test_compilation_covers_every_norm_and_can_be_disabled(wanted: bool) -> None:
    net = nn.Sequential(LocalResponseNorm(), SpatialNorm())
    Performance(compile=wanted, retain_memory=False).apply(net, CPU)
    assert [layer.compiled for layer in net] == [wanted, wanted]


def test_compilation_is_skipped_without_a_compiler_or_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(performance, "has_triton", lambda: True)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "Python.h").touch()
    for there, expected in (
        ("c++", [True, False]),
        ("gcc", [False, True]),
        ("clang", [False, True]),
        ("", [False] * 2),
    ):
        monkeypatch.setattr(shutil, "which", lambda name, there=there: name if name == there else None)
        assert [Performance().uses_compile(CPU), Performance().uses_compile(gpu)] == expected
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert Performance().uses_compile(CPU)
    assert not Performance(optimized=False).uses_compile(CPU)
    monkeypatch.setattr(performance, "has_triton", lambda: False)
    assert not Performance().uses_compile(gpu), "a GPU older than compute capability 7.0, or no Triton"
    monkeypatch.setattr(performance, "has_triton", lambda: True)
    (tmp_path / "Python.h").unlink()
    assert not Performance().uses_compile(CPU)
    assert not Performance().uses_compile(gpu)
    assert Performance(compile=True).uses_compile(gpu)


def test_macs_compile_on_the_cpu_alone_and_only_with_a_compiler_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Xcode's tools, macOS has a c++ that only says so."""
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name) if (tmp_path / name).is_file() else None)
    for code in (0, 1):
        (tmp_path / "c++").write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / "c++").chmod(0o755)
        assert Performance().uses_compile(CPU) == (code == 0)
        assert not Performance().uses_compile(torch.device("mps"))
    assert Performance(compile=True).uses_compile(torch.device("mps"))


def test_compiler_starts_no_worker_processes() -> None:
    """Those of torch 2.11 may keep a process from ending for five minutes. The settings hold in each thread that asks
    for a function, also for one that another thread has asked for: the backward pass has its own."""
    from torch._inductor.async_compile import get_compile_threads

    def settings() -> tuple[int, int]:
        compiled(torch.add)
        return get_compile_threads(), torch._dynamo.config.recompile_limit

    assert settings() == (1, 64)
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(settings).result() == (1, 64)


def test_cuda_graph_is_used_on_one_gpu_if_configured() -> None:
    gpu = torch.device("cuda")
    places = (gpu, True), (gpu, False), (CPU, True)
    assert [Performance(cuda_graph=True).uses_cuda_graph(where, alone) for where, alone in places] == [
        True,
        False,
        False,
    ]
    assert not Performance().uses_cuda_graph(gpu, single_device=True)


@pytest.mark.parametrize("views", ["ten", "nine", "center"])
def test_batched_views_match_single_views(views: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, augment = AlexNet(5, crop=67), Augment(72, 67)
    images = torch.randint(256, (3, 3, 72, 72), dtype=torch.uint8)
    sizes: list[int] = []
    net.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    plain, fast = (
        Classifier(net, augment, {}, performance=speed).eval() for speed in (UNOPTIMIZED, Performance(compile=False))
    )
    with torch.no_grad():
        wanted = torch.stack([net(view).softmax(1) for view in augment.views(images, views)]).mean(0).log()
        count = len(sizes)
        torch.testing.assert_close(plain.log_probabilities(images, views), wanted)
        assert sizes[count:] == [3] * count
        monkeypatch.setitem(IMAGES_PER_PASS, "cpu", 13)
        torch.testing.assert_close(fast.log_probabilities(images, views), wanted)
    assert sizes[2 * count :] == {"ten": [12, 12, 6], "nine": [12, 12, 3], "center": [3]}[views]
