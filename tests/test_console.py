"""Messages of the first process."""

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from alexnet_pl.console import is_first_process

VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK")


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("found", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"SLURM_PROCID": "0"}, True),
        ({"SLURM_PROCID": "4"}, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),  # one task, which has started the others
    ],
)
def test_first_process_of_a_launcher(found: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first


@pytest.mark.parametrize("node", [0, 1])
def test_only_the_first_node_has_the_first_process(node: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MASTER_ADDR and NODE_RANK, a command starts on every node and Lightning sets LOCAL_RANK in its children."""
    monkeypatch.setenv("NODE_RANK", str(node))
    assert is_first_process() == (LightningEnvironment().node_rank() == 0) == (node == 0)
    monkeypatch.setenv("LOCAL_RANK", "0")  # Lightning sets this later in the process that the user started
    assert is_first_process() == (node == 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_process()
