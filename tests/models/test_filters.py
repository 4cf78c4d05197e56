"""First-layer kernels as the tiles of Figure 3."""

import torch

from alexnet_pl.models.filters import draw_filters, largest_filters, scale_to_unit_range


def test_kernels_are_in_rows_of_sixteen_with_gpu_1_on_top() -> None:
    """Figure 3: "The top 48 kernels were learned on GPU 1 while the bottom 48 … on GPU 2"."""
    kernels = torch.zeros(96, 3, 11, 11)
    kernels[48:, 2] = 1.0  # GPU 2's are blue
    picture = draw_filters(kernels)
    tiles = picture[:, 4:].unfold(1, 44, 48).unfold(2, 48, 48)  # rows of tiles, without the lines between them
    assert picture.shape == (3, 6 * 48 + 4, 16 * 48 + 4)
    for row in range(6):
        inside = tiles[:, row, 3, 20, 24]
        assert inside.tolist() == ([0.5, 0.5, 1.0] if row >= 3 else [0.5, 0.5, 0.5])


def test_kernels_share_one_scale_centered_at_zero() -> None:
    kernels = torch.zeros(16, 3, 11, 11)
    kernels[0, :, :, :5], kernels[1, 2, 5, 5], kernels[2, 0, 0, 0] = 0.5, -0.25, 900.0
    found = scale_to_unit_range(kernels)
    assert found[0, 1, 3, 4] == 1  # 165 of 5,808 weights, so the clipped thousandth is among them
    assert found[1, 2, 5, 5] == 0.25
    assert found[2, 0, 0, 0] == 1  # clipped, and does not dim the others
    assert found[3].unique().tolist() == [0.5]
    assert torch.isfinite(scale_to_unit_range(torch.zeros(2, 3, 5, 5))).all()


def test_largest_filters_are_chosen_per_tower() -> None:
    kernels = torch.zeros(8, 3, 5, 5)
    for number, weight in enumerate([1, 9, 3, 4, 5, 6, 100, 50]):
        kernels[number] = weight
    assert largest_filters(kernels, 2, 2).tolist() == [1, 3, 6, 7]
    assert largest_filters(kernels, 1, 3).tolist() == [6, 7, 1]
