"""Networks trained by Adam: rates of a fit that continues with other settings."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from alexnet_pl.errors import UserError
from alexnet_pl.training.adam_module import AdamModule


class Line(AdamModule):
    """Fits a line, and notes the rate and the weight decay of each step."""

    def __init__(self, lr: float, epochs: int, weight_decay: float = 0.0) -> None:
        super().__init__(lr, epochs, weight_decay)
        self.line, self.seen = torch.nn.Linear(3, 1), []

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        (group,) = self.trainer.optimizers[0].param_groups
        self.seen.append((group["lr"], group["weight_decay"]))
        return (self.line(batch) - batch.sum(1, keepdim=True)).square().mean()


class Points(L.LightningDataModule):
    batch_size, seed = 2, 0

    def train_dataloader(self) -> DataLoader:
        points = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
        return DataLoader(points, batch_size=2)  # type: ignore[arg-type]


def train(folder: Path, module: Line, max_epochs: int, ckpt_path: Path | None = None) -> tuple[Line, Path]:
    """Train to the end of epoch `max_epochs`; returns the module and its last checkpoint."""
    silent: dict[str, Any] = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(max_epochs=max_epochs, accelerator="cpu", default_root_dir=folder, **silent)
    trainer.fit(module, datamodule=Points(), ckpt_path=ckpt_path)
    trainer.save_checkpoint(path := folder / f"{max_epochs}.ckpt")
    return module, path


def make_line(*arguments: float) -> Line:
    torch.manual_seed(0)
    return Line(*arguments)  # type: ignore[arg-type]


def test_continued_fit_has_the_rates_of_its_present_settings(tmp_path: Path) -> None:
    first, path = train(tmp_path, make_line(0.1, 2), 2)
    assert [lr for lr, _ in first.seen] == [0.1, 0.1, 0.05, 0.05]
    longer, _ = train(tmp_path, make_line(0.1, 4), 4, path)
    assert [lr for lr, _ in longer.seen] == [0.1 * (1 - 2 / 4)] * 2 + [0.1 * (1 - 3 / 4)] * 2
    other, _ = train(tmp_path, make_line(0.2, 4, 0.01), 4, path)
    assert other.seen == [(0.2 * (1 - 2 / 4), 0.01)] * 2 + [(0.2 * (1 - 3 / 4), 0.01)] * 2


def test_resumed_fit_of_equal_settings_is_bit_identical(tmp_path: Path) -> None:
    whole, _ = train(tmp_path, make_line(0.1, 3), 3)
    _, path = train(tmp_path, make_line(0.1, 3), 1)
    cut, _ = train(tmp_path, make_line(0.1, 3), 3, path)
    assert cut.seen == whole.seen[2:]
    assert torch.equal(cut.line.weight, whole.line.weight)


def test_step_reads_no_loss_from_the_device() -> None:
    """A tensor on `meta` has no value to wait for."""
    module, loss = make_line(0.1, 1), torch.zeros((), device="meta")
    assert module.keep_losses({"loss": loss}) is loss


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_is_reported(value: float) -> None:
    module = make_line(0.1, 1)
    module.check_finite()  # before the first step, as when a fit is resumed
    module.keep_losses({"loss": torch.tensor(value)})
    with pytest.raises(UserError, match=f"the training loss is {value} by step 0; try a smaller optim.lr"):
        module.check_finite()
