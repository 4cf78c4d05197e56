"""Lines on the paper's statements without a row, from made-up files."""

import json
from pathlib import Path
from types import SimpleNamespace

from pages.statements import describe_decay, describe_pixels, statement_lines


def write_log(run: Path, *errors: float) -> None:
    run.mkdir(parents=True)
    rows = "".join(f"{10 * epoch},\n{10 * epoch},{error}\n" for epoch, error in enumerate(errors, 1))
    (run / "metrics.csv").write_text("step,train/epoch_top1_error\n" + rows)


def test_training_errors_of_the_last_epoch_are_paired_by_seed(tmp_path: Path) -> None:
    for seed, with_decay, without in ((1, 70, 72), (2, 60, 64), (3, 65, 71)):
        write_log(tmp_path / f"full/network/seed{seed}", 90, with_decay)
        write_log(tmp_path / f"decay/none/seed{seed}", 80, without)
        if seed == 1:
            assert describe_decay(tmp_path) == "not yet measured"
    write_log(tmp_path / "full/network/seed4", 10, 10)  # without a partner
    # differences 2, 4, 6: mean 4, standard error 2 / √3, t(0.975, 2) = 4.302653
    assert describe_decay(tmp_path) == "+4.00 (-0.97 to +8.97), 3 runs"


def test_numbers_are_those_of_the_files(tmp_path: Path) -> None:
    times = {"read": 50, "augment": 10, "forward": 60, "backward": 120, "update": 10}
    (tmp_path / "cpu.json").write_text(json.dumps({"stages": {"device": "CPU", "milliseconds": times}}))
    rows = [
        {"method": "float vectors of fc7, exact", "recall_6": {"mean": 100.0}},
        {"method": "float raw pixels, exact", "recall_6": {"mean": 0.46}},
    ]
    lines = statement_lines(tmp_path, tmp_path / "cpu.json", [[SimpleNamespace(rows=rows)]])  # type: ignore[list-item]
    decay, augmentation, pixels = lines.splitlines()
    assert decay.endswith(": not yet measured.")
    assert "5.0 % of a step on a CPU (10.0 of 200 ms;" in augmentation
    assert "by raw pixels, 0.5 % of the six nearest are the same" in pixels
    assert describe_pixels([]) == "not yet measured"
