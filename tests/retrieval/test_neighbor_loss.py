"""Neighbor loss of short codes (§7.1) against its formula in float64, and over two processes against one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from code_processes import fit_codes, fit_codes_in_two_processes
from feature_files import WIDTH, make_features, sparse
from run_folders import table
from torch.multiprocessing.spawn import ProcessRaisedException

from alexnet_pl.models.autoencoder import AutoEncoder
from alexnet_pl.retrieval.neighbor_loss import neighbor_loss


def divergence(vectors: np.ndarray, codes: np.ndarray) -> float:
    """KL divergence in float64, averaged over vectors, with sums over pairs written out."""
    count = len(vectors)
    squares = np.square(vectors[:, None] - vectors[None]).sum(2)
    apart = (codes[:, None] != codes[None]).sum(2)
    total = 0.0
    for i in range(count):
        others = [j for j in range(count) if j != i]
        near = np.exp(-squares[i, others] / (0.03 * squares.mean()))
        found = np.exp(-4 / np.sqrt(codes.shape[1]) * apart[i, others])
        near, found = near / near.sum(), found / found.sum()
        total += sum(p * np.log(p / q) for p, q in zip(near, found, strict=True) if p)
    return total / count


def test_loss_matches_the_formula() -> None:
    chance = np.random.default_rng(0)
    vectors, codes = chance.standard_normal((12, 5)), chance.choice([-1.0, 1.0], (12, 16))
    loss = neighbor_loss(*(both := (torch.from_numpy(vectors), torch.from_numpy(codes))), both)
    assert loss.item() == pytest.approx(divergence(vectors, codes), rel=1e-5)


def test_loss_of_each_share_is_that_of_its_rows() -> None:
    chance = np.random.default_rng(1)
    vectors, codes = (
        torch.from_numpy(chance.standard_normal((12, 5))),
        torch.from_numpy(chance.choice([-1.0, 1.0], (12, 8))),
    )
    shares = [neighbor_loss(vectors[i : i + 4], codes[i : i + 4], (vectors, codes), i) for i in (0, 4, 8)]
    assert torch.stack(shares).mean().item() == pytest.approx(neighbor_loss(vectors, codes, (vectors, codes)).item())


def test_an_outlier_is_no_neighbor_of_itself() -> None:
    """Its distances from 2,000 equal vectors are 67,000 temperatures; all others are equally near."""
    vectors, codes = torch.cat([torch.zeros(2000, 1), torch.ones(1, 1)]), torch.ones(2001, 8)
    assert neighbor_loss(vectors[-1:], codes[-1:], (vectors, codes), 2000).item() == pytest.approx(0, abs=1e-5)


def test_a_gradient_step_lowers_the_loss() -> None:
    vectors = torch.from_numpy(sparse(64, 0)).float()
    torch.manual_seed(0)
    net = AutoEncoder(WIDTH, 16, [32])
    optimizer, losses = torch.optim.Adam(net.parameters(), 0.01), []
    for _ in range(40):
        code = net(vectors)[1]
        losses.append(neighbor_loss(vectors, code, (vectors, code)))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert np.mean([loss.item() for loss in losses[-5:]]) < 0.8 * losses[0].item()


@pytest.mark.parametrize("count", [1, 2])
def test_equal_and_single_vectors_give_a_finite_loss(count: int) -> None:
    vectors, codes = torch.zeros(count, 3), torch.ones(count, 8)
    assert neighbor_loss(vectors, codes, (vectors, codes)).item() == pytest.approx(0, abs=1e-6)


def val_losses(run: Path) -> list[float]:
    return [float(row["val/loss"]) for row in table(run / "metrics.csv") if row["val/loss"]]


def test_two_processes_learn_the_same_codes_as_one(tmp_path: Path) -> None:
    """Each process has half of every batch; its vectors' neighbors are those of the whole batch."""
    for split, count, seed in (("train", 160, 1), ("val", 33, 2)):  # the second process has none of the 33rd
        make_features(tmp_path / f"net/features/{split}-fc7", sparse(count, seed))
    with pytest.raises(ProcessRaisedException, match=r"data.batch_size=15 does not divide by 2 devices"):
        fit_codes_in_two_processes(tmp_path, "data.batch_size=15", "codes.neighbors=0")
    fit_codes_in_two_processes(tmp_path)
    one, two = fit_codes(tmp_path, "one"), torch.load(tmp_path / "two/checkpoints/last.ckpt", weights_only=True)
    two_losses, one_losses = (val_losses(tmp_path / name) for name in ("two", "one"))
    assert len(two_losses) == 2
    assert two_losses == pytest.approx(one_losses, rel=1e-4)
    without = fit_codes(tmp_path, "without", "codes.neighbors=0")["state_dict"]
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], value, rtol=1e-4, atol=1e-5)
        assert "encoder" not in name or not torch.allclose(value, without[name], rtol=1e-2)
