"""Auto-encoder (§7.1): binary codes, straight-through gradient, loaders of feature vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from feature_files import make_features, sparse

from alexnet_pl.models.autoencoder import BINARY, AutoEncoder, noisy_sigmoid, straight_through
from alexnet_pl.retrieval.code_training import measure_statistics


def test_codes_are_rounded_logistic_units() -> None:
    logits = torch.linspace(-30, 30, 1001)
    for name, binary in BINARY.items():
        code = binary(logits, 4.0, False)
        assert torch.equal(code, (logits > 0).float()), name
    assert torch.equal(straight_through(logits, 4.0, True), (logits > 0).float())


def test_gradient_passes_straight_through_rounding() -> None:
    logits = torch.randn(100, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(100, dtype=torch.float64)
    (straight_through(logits, 4.0, True) * weights).sum().backward()
    soft = 1 / (1 + np.exp(-logits.detach().numpy()))
    np.testing.assert_allclose(logits.grad, weights.numpy() * soft * (1 - soft), rtol=1e-12)


def test_noise_saturates_the_units() -> None:
    """Few values of σ(N(0, 4²)) are in the middle: P(|N| < log 9) for 0.1 to 0.9."""
    torch.manual_seed(0)
    codes = noisy_sigmoid(torch.zeros(100_000), 4.0, True)
    assert ((codes > 0.1) & (codes < 0.9)).float().mean().item() == pytest.approx(0.4172, abs=0.01)
    assert not torch.equal(noisy_sigmoid(torch.zeros(10), 4.0, True), noisy_sigmoid(torch.zeros(10), 4.0, True))


def test_reconstruction_error_of_the_mean_is_one(tmp_path: Path) -> None:
    features = make_features(tmp_path / "train-fc7", sparse(500, 0) * 3 + 1)
    net = AutoEncoder(features.width, 8, [16])
    mean, deviation = measure_statistics(features)
    exact = features.values.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6)
    assert deviation == pytest.approx(np.sqrt(exact.var(0).mean()))
    net.set_statistics(mean, deviation)
    torch.nn.init.zeros_(net.decoder[-1].weight)  # type: ignore[arg-type]
    torch.nn.init.zeros_(net.decoder[-1].bias)  # type: ignore[arg-type]
    errors, code = net(torch.from_numpy(features.rows(slice(None))))
    assert errors.mean().item() == pytest.approx(1, rel=1e-5)
    assert code.shape == (500, 8)
    assert set(code.unique().tolist()) == {-1, 1}


def test_layers_have_the_requested_widths() -> None:
    net = AutoEncoder(24, 28, [20, 10])
    shapes = [tuple(layer.weight.shape) for layer in (*net.encoder, *net.decoder) if hasattr(layer, "weight")]
    assert shapes == [(20, 24), (10, 20), (28, 10), (10, 28), (20, 10), (24, 20)]


def test_encoding_is_the_sign_of_the_code_layer(tmp_path: Path) -> None:
    net, vectors = AutoEncoder(24, 28, [20]), sparse(10, 0)
    hidden = np.maximum(vectors.astype(np.float32) @ net.encoder[0].weight.detach().numpy().T
                        + net.encoder[0].bias.detach().numpy(), 0)  # fmt: skip
    last = hidden @ net.encoder[2].weight.detach().numpy().T + net.encoder[2].bias.detach().numpy()
    assert np.array_equal(net.encode(vectors), last > 0)
    assert net.encode(vectors[:0]).shape == (0, 28)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bits": 0}, "bits=0: from 1"),
        ({"binary": "step"}, "binary=step: one of straight_through, noise"),
        ({"hidden": [0]}, "hidden="),
    ],
)
def test_invalid_layers_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AutoEncoder(**{"width": 24, "bits": 8, "hidden": [16], **given})  # type: ignore[arg-type]
