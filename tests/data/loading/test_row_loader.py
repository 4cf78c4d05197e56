"""Batches of rows: each row once an epoch, in an order that a resumed run repeats."""

import torch

from alexnet_pl.data.loading.items import RowLoader


def test_each_epoch_has_every_row_once_in_a_new_order() -> None:
    rows = torch.arange(64)
    loader = RowLoader(len(rows), rows.__getitem__, 16, seed=1)
    epochs = [torch.cat(list(loader)).tolist() for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(64))
    assert epochs[0] != epochs[1]
    shares = [torch.cat(list(RowLoader(len(rows), rows.__getitem__, 16, 1, True, rank, 2))).tolist() for rank in (0, 1)]
    assert sorted(shares[0] + shares[1]) == list(range(64))


def test_loader_resumes_from_a_saved_state() -> None:
    rows = torch.arange(70)
    one, other = RowLoader(len(rows), rows.__getitem__, 16, seed=1), RowLoader(len(rows), rows.__getitem__, 16, seed=1)
    whole = [batch for _ in range(2) for batch in one]
    begun = iter(other)
    for _ in range(3):
        next(begun)
    third = RowLoader(len(rows), rows.__getitem__, 16, seed=1)
    third.load_state_dict(other.state_dict())
    rest = [batch for _ in range(2) for batch in third]
    assert len(rest) == 5
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[3:], strict=True))


def test_validation_yields_all_rows_in_order() -> None:
    rows = torch.arange(70)
    loader = RowLoader(len(rows), rows.__getitem__, 16, 1, training=False)
    for _ in range(2):
        assert torch.cat(list(loader)).tolist() == list(range(70))
    assert len(loader) == 5
