"""Errors by epoch with biases of 1 and of 0, from made-up logs."""

from pathlib import Path

from pages.early_learning import early_learning_section


def write_log(run: Path, *errors: float) -> None:
    run.mkdir(parents=True)
    rows = "".join(f"{10 * epoch},{error}\n{10 * epoch + 1},\n" for epoch, error in enumerate(errors, 1))
    (run / "metrics.csv").write_text("step,val/top1_error\n" + rows)


def test_difference_of_each_epoch_is_paired_by_seed(tmp_path: Path) -> None:
    for seed, ones, zeros in ((1, (90, 70), (92, 71)), (2, (80, 60), (84, 61)), (3, (85, 65), (91, 66))):
        write_log(tmp_path / f"full/network/seed{seed}", *ones)
        write_log(tmp_path / f"ablations/zero-biases/seed{seed}", *zeros)
    write_log(tmp_path / "full/network/seed4", 10, 10)  # without a partner
    section = early_learning_section(tmp_path)
    assert ", 3 runs each." in section
    # differences 2, 4, 6: mean 4, standard error 2 / √3, t(0.975, 2) = 4.302653
    assert section.splitlines()[-2:] == [
        "| 1 | 85.00 | 89.00 | +4.00 (-0.97 to +8.97) |",
        "| 2 | 65.00 | 66.00 | +1.00 (+1.00 to +1.00) |",
    ]


def test_one_pair_makes_no_table(tmp_path: Path) -> None:
    write_log(tmp_path / "full/network/seed1", 90)
    write_log(tmp_path / "ablations/zero-biases/seed1", 91)
    assert early_learning_section(tmp_path) == ""
