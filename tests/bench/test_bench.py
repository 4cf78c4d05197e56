"""`bench`: interleaved timing, candidates that do the same work, and `bench prepare` at toy size."""

import json
from pathlib import Path

import numpy as np
import pytest
from running import Compose

from alexnet_pl.bench import fixtures, loaders, prepare_suite, report
from alexnet_pl.bench.timing import time_interleaved
from alexnet_pl.data.images import decode, resize_center_crop
from alexnet_pl.errors import UserError
from tests.conftest import call


def test_candidates_run_in_turn_and_the_first_round_is_warm_up() -> None:
    order: list[str] = []

    def job(name: str, images: int) -> int:
        order.append(name)
        return images

    rates = time_interleaved({"a": lambda: job("a", 10), "b": lambda: job("b", 20)}, rounds=3)
    assert order == ["a", "b"] * 4
    assert all(rate.low <= rate.median <= rate.high for rate in rates.values())


def test_pillow_candidate_makes_the_same_square(tmp_path: Path) -> None:
    """The comparison is only valid if the other candidate does the same work."""
    path = fixtures.draw_photograph(tmp_path / "1.JPEG", 1)
    ours = resize_center_crop(decode(path.read_bytes())[0], 256, "bilinear").numpy().transpose(1, 2, 0)
    assert np.abs(ours.astype(int) - prepare_suite.pillow_square(path, 256)).max() <= 1


@pytest.mark.slow
def test_bench_prepare_measures_a_complete_store(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare_suite, "IMAGES", 40)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number in range(3):
        fixtures.draw_photograph(photographs / f"{number}.JPEG", number)
    cfg = config(
        "ilsvrc2012",
        "bench.suite=prepare",
        f"prepare.source={photographs}",
        "bench.rounds=2",
        f"bench.output={tmp_path / 'b.json'}",
    )
    call("bench", cfg, tmp_path)
    found = json.loads((tmp_path / "b.json").read_text())
    rates = {name: rate["median"] for name, rate in found["images_per_second"].items()}
    assert found["ratios"]["prepare, raw / decode + resize alone"] == pytest.approx(
        rates["prepare, raw"] / rates["decode + resize alone"]
    )
    per_core = rates["prepare, raw"] / found["workers"]
    assert found["hours"]["ILSVRC-2012"]["16"] == pytest.approx(1_431_167 / per_core / 16 / 3600)
    assert 0.1 < found["peak_memory_gb"] < 4
    assert found["images"] == 40
    assert "Pillow" in capsys.readouterr().out


def test_measurements_that_need_linux_are_named_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare_suite, "PROC", tmp_path / "no such folder")
    monkeypatch.delattr("os.posix_fadvise")
    assert loaders.measure_cold_reads(tmp_path, 2) == {}
    assert report.cold_rows({}) == [("not measured: this system cannot drop files from its page cache", "", "")]
    assert prepare_suite.peak_memory(tmp_path) is None
    host = {"cpu": "M1", "cores": 8, "load": 0.0}
    report.print_prepare_report(
        {"machine": host, "photographs": "drawn", "images_per_second": {}, "images": 1, "workers": 2, "ratios": {}}
        | {"hours": {}, "peak_memory_gb": None}
    )
    assert "two workers: not measured (" in capsys.readouterr().out


@pytest.mark.skipif(not prepare_suite.PROC.is_dir(), reason="only Linux has /proc")
def test_failed_command_has_no_peak_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failed:
        pid, returncode = 0, 2

        def __init__(self, *_: object, **options: object) -> None: ...

        def poll(self) -> int:
            return self.returncode

    monkeypatch.setattr(prepare_suite.subprocess, "Popen", Failed)
    assert prepare_suite.peak_memory(tmp_path) is None
    Failed.returncode = 0
    assert prepare_suite.peak_memory(tmp_path) == 0.0


def test_missing_photographs_and_unknown_suite_are_named(config: Compose, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^prepare.source: no images in .*"):
        call("bench", config("ilsvrc2012", "bench.suite=prepare", f"prepare.source={tmp_path}"), tmp_path)
    for recipe in ("cifar10", "overfeat_fast"):
        with pytest.raises(UserError, match=r"^model.name=\w+: bench measures AlexNet's steps; "):
            call("bench", config(recipe, "bench.suite=train"), tmp_path)
    with pytest.raises(UserError, match=r"^bench sleep: one of train, prepare"):
        call("bench", config("ilsvrc2012", "bench.suite=sleep"), tmp_path)
