"""`bench train`: shares, ratios and targets computed from timings; one complete run at toy size."""

import json
import re
import time
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sleepers
import torch
from PIL import Image
from running import Compose

from alexnet_pl.bench import (
    end_to_end,
    idle_share,
    loaders,
    processes,
    stages,
    suite,
    targets,
    third_party_loaders,
    timing,
    trainer_overhead,
    training_steps,
)
from alexnet_pl.bench.timing import TimingWindow, stream_rate
from alexnet_pl.bench.training_steps import StockNorm, with_stock_norms
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.loaders import TrainLoader
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.models.layers import LocalResponseNorm, SpatialNorm
from tests.conftest import call

TOY = TimingWindow(0.05, 0.1, 2)


def test_stream_is_timed_between_batches_after_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow at first, then 100 images every 1/64 s by a clock of its own; the stream is closed at the end."""
    now, closed = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def flow() -> Generator[int, None, None]:
        try:
            now[0] += 0.5
            while True:
                now[0] += 1 / 64
                yield 100
        finally:
            closed.append(True)

    assert stream_rate(flow, TimingWindow(0.1, 0.25, 3)) == 6400
    assert closed == [True]


def test_missing_or_failing_third_party_loader_is_reported(tmp_path: Path) -> None:
    def broken() -> Generator[int, None, None]:
        raise OSError("no such thing\nand more")
        yield 1

    assert third_party_loaders.unavailable_reason("no_such_module.inner", broken) == "not installed"
    assert third_party_loaders.unavailable_reason("json", broken) == "OSError: no such thing"
    assert third_party_loaders.unavailable_reason("json", lambda: iter_of(1)) == ""


def iter_of(*values: int) -> Generator[int, None, None]:
    yield from values


def test_stock_network_computes_the_same_outputs() -> None:
    """Otherwise the comparison would time another network."""
    torch.manual_seed(0)
    net = AlexNet(num_classes=3, crop=67).eval()
    images = torch.randn(2, 3, 67, 67) * 60
    torch.testing.assert_close(with_stock_norms(net)(images), net(images), rtol=1e-4, atol=1e-4)
    kinds = [type(layer) for layer in with_stock_norms(net).children()]
    assert kinds.count(StockNorm) == 3
    assert not {LocalResponseNorm, SpatialNorm} & set(kinds)


def test_network_with_a_convolution_for_each_group_computes_the_same_gradients() -> None:
    grouped, image = AlexNet(num_classes=5, crop=67, width=0.25, dropout=0.0), torch.randn(2, 3, 67, 67)
    split = AlexNet(num_classes=5, crop=67, width=0.25, dropout=0.0)
    split.load_state_dict(grouped.state_dict())
    training_steps.split_groups(split)
    replaced = [name for name, layer in split.named_children() if isinstance(layer, training_steps.GroupwiseConv)]
    assert replaced == ["conv2", "conv4", "conv5"], "those within a tower"
    for net in (grouped, split):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        net(image).square().sum().backward()
    for one, other in zip(grouped.parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)


def test_operation_count_matches_hand_calculation() -> None:
    """724.4 million products forward; three times as many with backward, except for the gradient of the pixels."""
    forward, whole = stages.count_operations(AlexNet(num_classes=1000), 224)
    conv = [
        (96, 3 * 121, 55), (256, 48 * 25, 27), (384, 256 * 9, 13), (384, 192 * 9, 13), (256, 192 * 9, 13)
    ]  # fmt: skip
    products = sum(maps * reads * side**2 for maps, reads, side in conv) + 9216 * 4096 + 4096**2 + 4096 * 1000
    assert forward == 2 * products
    assert whole == 6 * products - 2 * 96 * 363 * 55**2


def test_idle_share_is_the_uncovered_time() -> None:
    assert idle_share.idle_share([(0, 4), (2, 3), (6, 8), (7, 10)]) == pytest.approx(0.2)
    assert idle_share.idle_share([]) is None


def test_long_epoch_takes_all_images_again_in_the_same_order(tiny_store: Path) -> None:
    split, augment = Store(tiny_store).split("train"), Augment(72, 67)
    loader = TrainLoader(split, 40, 0, augment.draw, torch.device("cpu"))
    loader.batches = 5
    images = torch.cat([batch.images.clone() for batch in loader])
    assert len(loader) == 5
    assert len(images) == 200
    assert torch.equal(images[:96].sort(0).values, split.images(np.arange(96)).sort(0).values), "each image once"
    assert torch.equal(images[96:192], images[:96])


def test_copies_from_and_to_the_host_count_as_idle() -> None:
    """They run beside the kernels; a copy within the GPU's memory is part of a step."""
    names = ("void conv_kernel", "Memcpy HtoD (Pinned -> Device)", "Memcpy DtoH (Device -> Pinned)", "Memcpy DtoD")
    events = [SimpleNamespace(name=name, device_type=SimpleNamespace(name="CUDA")) for name in names]
    assert [idle_share.is_gpu_event(event) for event in events] == [True, False, False, True]


@pytest.mark.slow
def test_hanging_candidate_is_killed_and_named(capfd: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    processes.time_in_processes(("quick",), sleepers.slow_and_quick, (), rounds=1)
    limit = 3 + 4 * (time.monotonic() - begin)  # enough to start a process here
    with pytest.raises(UserError, match="bench: stuck: no answer for"):
        processes.time_in_processes(("stuck",), sleepers.hanging, (), rounds=1, limit=limit)
    assert "in hanging" in capfd.readouterr().err, "where it hangs"


def test_steps_get_images_in_the_type_of_the_augmentation(config: Compose) -> None:
    """Against the augmentation itself, under autocast."""
    for optimized in (True, False):
        cfg = config("demo", "data.size=72", "augment.crop=67", f"performance.optimized={optimized}")
        work = suite.make_workload(cfg, 1, 2)
        module = stages.build_module(cfg, torch.device("cpu"))
        with torch.autocast("cpu", torch.bfloat16):
            view = module.augment(torch.zeros(2, 3, 72, 72, dtype=torch.uint8), module.augment.draw(0, 0, 0, 2))
        assert training_steps.input_type(training_steps.OURS, training_steps.BF16, work) == view.dtype
        assert training_steps.input_type(training_steps.OURS, training_steps.FLOAT32, work) == torch.float32


def test_nested_time_counts_for_the_caller() -> None:
    shares = end_to_end.PartTimer()
    inner = shares.timed("inner", lambda: time.sleep(0.02))
    shares.timed("outer", inner)()
    assert shares.seconds["outer"] >= 0.02
    assert "inner" not in shares.seconds
    inner()
    assert end_to_end.percent_shares({"forward": 3.0, "update": 1.0, "checkpoints": 0.5}, 5.0) == pytest.approx(
        {"forward": 60.0, "update": 20.0, "checkpoints": 10.0, "outside": 20.0}
    )


def test_fit_on_a_slow_machine_ends_after_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    now, module = [0.0], SimpleNamespace(device=torch.device("cpu"))
    monkeypatch.setattr(end_to_end.time, "perf_counter", lambda: now[0])
    trainer, timer = SimpleNamespace(global_step=end_to_end.WARMUP_STEPS, should_stop=False), end_to_end.FitTimer(None)
    for now[0], stops in ((100.0, False), (145.0, False), (145.1, True)):
        timer.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
        assert trainer.should_stop is stops


def test_targets_compare_only_measured_candidates() -> None:
    found = {
        "feeding": {loaders.RAW: {"median": 300.0}, loaders.EXAMPLE: {"median": 1.0}, loaders.COPY: {"median": 600.0}},
        "steps": {"ours, bf16": 1.0, "stock PyTorch, float32": 4.0},
        "trainer": {trainer_overhead.OURS: {"median": 60.0}},
        "fit": {"shares": {"outside": 2.5}},
    }
    verdicts = {one.what: (one.found, one.met) for one in targets.make_targets(found) if one.met is not None}
    assert verdicts == {
        "images: ours, raw / pytorch/examples, full JPEGs": (300.0, True),
        "images: ours, raw / plain copy of memory": (0.5, False),
        "step: ours, bf16 / stock PyTorch, float32": (4.0, True),
        "trainer: ours": (60.0, False),
        "fit: outside the network's work": (2.5, True),
    }


def test_target_is_not_met_by_a_slowed_baseline() -> None:
    peer = {"median": 150.0, "low": 140.0, "high": 4000.0}
    found = {"feeding": {loaders.JPEG: {"median": 5000.0}, "DALI on the CPU, the same JPEGs": peer}}
    (target,) = [target for target in targets.make_targets(found) if target.met is not None]
    assert (target.found, target.met) == (1.25, False)


def test_candidates_run_in_own_processes_and_a_dead_one_is_reported() -> None:
    found = processes.time_in_processes(("slow", "quick"), sleepers.slow_and_quick, (), rounds=2)
    assert found["slow"] > max(0.05, found["quick"])
    with pytest.raises(UserError, match="the process of 'a' ended"):
        processes.time_in_processes(("a",), sleepers.failing, (), rounds=1)


def test_compared_norms_are_the_same_operation() -> None:
    a = torch.randn(2, 8, 5, 5) * 30
    for norm in (LocalResponseNorm(towers=2), SpatialNorm()):
        torch.testing.assert_close(norm(a), StockNorm(norm.spec)(a))


@pytest.mark.slow
def test_complete_run_at_toy_size(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(suite, "CPU_IMAGES", 40)
    monkeypatch.setattr(suite, "WINDOW", TOY)
    ffcv = loaders.THIRD_PARTY["FFCV, JPEGs"][1]
    monkeypatch.setattr(loaders, "THIRD_PARTY", {"none": ("no_such_module", ffcv)})
    monkeypatch.setattr(loaders, "BATCH", 8)
    monkeypatch.setattr(training_steps, "NORMS", ("ours, eager", "F.local_response_norm"))
    monkeypatch.setattr(training_steps, "CANDIDATES", ("ours, float32", "stock PyTorch, float32"))
    monkeypatch.setattr(trainer_overhead, "STEPS", 200)
    monkeypatch.setitem(end_to_end.STEPS, "cpu", 10)
    sizes = (
        "data.size=72",
        "data.batch_size=8",
        "augment.crop=67",
        "model.num_classes=10",
        "performance.compile=false",
    )
    where = f"bench.output={tmp_path / 'b.json'}"
    run = tmp_path / "run"
    run.mkdir()
    cfg = config("ilsvrc2012", *sizes, "bench.rounds=1", where, "bench.profile=true", "trainer.accelerator=cpu")
    call("bench", cfg, run)

    found = json.loads((tmp_path / "b.json").read_text())
    assert found["not_run"] == {"none": "not installed"}
    assert all(rate["median"] > 0 for rate in found["feeding"].values())
    shares = found["fit"]["shares"]
    work = sum(shares[name] for name in ("augment", "forward", "backward", "update"))
    assert work + shares["outside"] == pytest.approx(100)
    fit = found["fit"]
    assert fit["steps"] == 10, "in one epoch, although the store has five batches; six more steps warm up"
    assert (fit["compiled"], fit["cached_on_gpu"], fit["replayed_steps"], fit["eager_steps"]) == (False, False, 0, 16)
    assert found["projected"]["hours"] == pytest.approx(90 * 1_281_167 / found["fit"]["images_per_second"] / 3600)
    assert json.loads((run / "trace.json").read_text())["traceEvents"]
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "90 epochs of ILSVRC-2012" in printed
    assert "━" not in printed.split("Targets")[0]  # no progress bar

    call("bench", config("ilsvrc2012", "bench.suite=report", where), run)
    written = (tmp_path / "docs/benchmarks.md").read_text()
    rate = found["feeding"]["ours, raw"]["median"]
    assert "| ours, raw " in written
    assert f"{rate:,.0f}" in written
    assert "not yet measured" in written
    assert {"../b.png", "../b-dark.png"} == set(re.findall(r'(?:src|srcset)="([^"]+)"', written))
    with Image.open(tmp_path / "b.png") as light, Image.open(tmp_path / "b-dark.png") as dark:
        assert light.size == dark.size
        assert light.convert("L").getpixel((0, 0)) > 200
        assert dark.convert("L").getpixel((0, 0)) < 50


def test_report_refuses_other_files(config: Compose, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    for words, said in (
        ([], "bench.output is required"),
        ([f"bench.output={other}"], "not written by `bench`"),
        ([f"bench.output={tmp_path / 'none.json'}"], "No such file"),
    ):
        with pytest.raises(UserError, match=said):
            call("bench", config("ilsvrc2012", "bench.suite=report", *words), tmp_path)
