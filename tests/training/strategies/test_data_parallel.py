"""Options of section `distributed`: exact gradients of two processes, and the bytes sent."""

import json
from types import SimpleNamespace

import pytest
from gradient_processes import OPTIONS, STEPS, compare_gradients
from processes import run_processes
from torch.nn.parallel import DistributedDataParallel

from alexnet_pl.config.options import DistributedOptions
from alexnet_pl.training.strategies.data_parallel import DataParallelStrategy

PARAMETERS = 4 * (20 * 20 + 20)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("gradients")
    run_processes(2, compare_gradients, folder)
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_the_mean_over_processes(found: dict[str, dict], options: str) -> None:
    """Compressed gradients are the bfloat16 mean of both, rounded to bfloat16."""
    exact = found[options]["exact"]
    assert len(exact) == STEPS * 8
    assert all(exact)


def test_compressed_gradients_send_half_the_bytes(found: dict[str, dict]) -> None:
    kinds = {kind for kind, _ in found["compressed"]["sent"]}
    assert kinds == {"torch.bfloat16"}
    assert sum(size for _, size in found["compressed"]["sent"]) == 2 * PARAMETERS


def test_compression_averages_over_the_groups_processes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's hook averages over all processes if its state is None; towers share gradients with their own kind."""
    hooks = []

    class Model(DistributedDataParallel):
        def __init__(self) -> None:
            pass

        def register_comm_hook(self, state: object, hook: object) -> None:
            hooks.append(state)

    for group in (None, "processes of one tower"):
        strategy = SimpleNamespace(
            options=DistributedOptions(compress_gradients=True), model=Model(), _ddp_kwargs={"process_group": group}
        )
        DataParallelStrategy._register_ddp_hooks(strategy)  # type: ignore[arg-type]
    assert hooks == [None, "processes of one tower"]


def test_invalid_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^timeout=0: seconds, above 0$"):
        DistributedOptions(timeout=0)
