"""The picture of the first layer's kernels, as Figure 3 arranges them."""

import torch

from alexnet_pl.kernels import draw_kernels


def test_kernels_stand_in_rows_of_sixteen_with_those_of_gpu_1_above() -> None:
    """Figure 3: "The top 48 kernels were learned on GPU 1 while the bottom 48 … on GPU 2"."""
    kernels = torch.zeros(96, 3, 11, 11)
    kernels[48:, 2] = 1.0  # GPU 2's are blue
    picture = draw_kernels(kernels)
    tiles = picture[:, 4:].unfold(1, 44, 48).unfold(2, 48, 48)  # rows of tiles without the lines between them
    assert picture.shape == (3, 6 * 48 + 4, 16 * 48 + 4)
    for row in range(6):
        inside = tiles[:, row, 3, 20, 24]
        assert inside.tolist() == ([0.5, 0.5, 1.0] if row >= 3 else [0.5, 0.5, 0.5])


def test_each_kernel_is_stretched_by_its_own_reach_with_zero_in_the_middle() -> None:
    kernels = torch.zeros(16, 3, 11, 11)
    kernels[0, 0, 0, 0], kernels[0, 1, 0, 0], kernels[1, 2, 5, 5] = 0.02, -0.01, -7.0
    picture = draw_kernels(kernels, zoom=1)
    torch.testing.assert_close(picture[:, 1, 1], torch.tensor([1.0, 0.25, 0.5]))
    torch.testing.assert_close(picture[:, 6, 18], torch.tensor([0.5, 0.5, 0.0]))
    assert picture[:, 0, 0].tolist() == [1.0, 1.0, 1.0]
