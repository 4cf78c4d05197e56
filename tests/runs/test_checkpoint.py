"""Checkpoints: round trip, differing settings are named, and no code in a foreign file is executed."""

import copy
import io
import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet_pl.errors import UserError
from alexnet_pl.locks import machine
from alexnet_pl.runs.checkpoint import read_checkpoint
from alexnet_pl.runs.checkpoint_checks import (
    LIMITED,
    check_compatible,
    check_resume_settings,
    warn_of_other_validation,
)
from alexnet_pl.training.checkpointing import AtomicCheckpointIO

SWITCHES: dict[str, dict[str, Any]] = {
    "model": {"num_classes": 10, "towers": 2, "without": None, "norm": True, "bottleneck": 0},
    "augment": {"size": 256, "crop": 224, "noise": 0.1, "images_per_crop": 1},
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "last.ckpt"
    about = {"switches": SWITCHES, "classes": [["n1", "one"]], "store": {"name": "demo"}}
    torch.save({"state_dict": {"weight": torch.arange(5000.0)}, "global_step": 7, "alexnet_pl": about}, path)
    return path


def test_checkpoint_round_trips(saved: Path) -> None:
    found = read_checkpoint(saved)
    assert torch.equal(found["state_dict"]["weight"], torch.arange(5000.0))
    assert found["global_step"] == 7
    assert found["alexnet_pl"]["switches"] == SWITCHES


def test_same_settings_pass_and_a_missing_checkpoint_passes(saved: Path) -> None:
    """Augmentation may differ; the given settings are not modified."""
    wanted = copy.deepcopy(SWITCHES)
    wanted["augment"] |= {"noise": 0.0, "images_per_crop": 32}
    before = copy.deepcopy(wanted)
    check_compatible(saved, wanted)
    check_compatible(str(saved), wanted)
    check_compatible(None, wanted)
    assert wanted == before


@pytest.mark.parametrize(
    ("section", "key", "there", "here"),
    [
        ("model", "towers", 2, 1),
        ("model", "without", None, "conv3"),
        ("model", "norm", True, False),
        ("model", "bottleneck", 0, 2048),
        ("model", "num_classes", 10, 1000),
        ("augment", "size", 256, 128),
        ("augment", "crop", 224, 112),
    ],
)
def test_differing_setting_is_named_with_both_values(
    saved: Path, section: str, key: str, there: Any, here: Any
) -> None:
    wanted = copy.deepcopy(SWITCHES)
    wanted[section][key] = here
    with pytest.raises(UserError) as caught:
        check_compatible(saved, wanted)
    message = str(caught.value)
    assert str(saved) in message
    assert f"{section}.{key}={there}" in message
    assert f"{section}.{key}={here}" in message
    assert [other for other in SWITCHES["model"] if f"model.{other}" in message] == [key] * (section == "model")


def test_mean_of_another_recipe_is_refused_in_a_test(saved: Path) -> None:
    """It was subtracted from the images, though the network had learned without it. A fit may change it."""
    wanted = copy.deepcopy(SWITCHES)
    wanted["augment"]["mean"] = "center"  # the default
    check_compatible(saved, wanted)
    wanted["augment"]["mean"] = "per_position"
    check_compatible(saved, wanted, trains=True)
    with pytest.raises(UserError, match=r"has augment\.mean=center, this recipe augment\.mean=per_position; add"):
        check_compatible(saved, wanted)


def test_setting_of_only_one_side_is_named(saved: Path) -> None:
    more, fewer = copy.deepcopy(SWITCHES), copy.deepcopy(SWITCHES)
    more["model"]["conv6"] = True
    del fewer["model"]["towers"]
    with pytest.raises(UserError, match=r"model\.conv6"):
        check_compatible(saved, more)
    with pytest.raises(UserError, match=r"model\.towers=2"):
        check_compatible(saved, fewer)


def torch_file(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_settings_of_older_checkpoints_have_their_defaults(saved: Path) -> None:
    """They have no layers with unit biases and no order of images: those were fixed."""
    wanted = copy.deepcopy(SWITCHES)
    wanted["model"]["unit_biases"] = ["conv2", "conv4", "conv5", "conv6", "fc6", "fc7"]
    check_compatible(saved, wanted)
    wanted["model"]["unit_biases"] = []
    with pytest.raises(UserError, match=r"has model\.unit_biases=\['conv2', .*\], this recipe model\.unit_biases=\[\]"):
        check_compatible(saved, wanted)
    checkpoint = read_checkpoint(saved)
    check_resume_settings(checkpoint, {"shuffle": ("data.shuffle", "epoch")})
    with pytest.raises(UserError, match=r"^data\.shuffle=once: the resumed run has epoch; add data\.shuffle=epoch$"):
        check_resume_settings(checkpoint, {"shuffle": ("data.shuffle", "once")})


FOREIGN = {
    "empty": b"",
    "text": b"optim:\n  lr: 0.01\n",
    "zeros": bytes(1000),
    "zip that is no checkpoint": b"PK\x03\x04" + bytes(100),
    "weights of another program": torch_file({"state_dict": {"weight": torch.zeros(3)}}),
    "bare weights": torch_file({"weight": torch.zeros(3)}),
    "tensor": torch_file(torch.zeros(3)),
    "list": torch_file([1, 2]),
    "nothing": torch_file(None),
    "number": torch_file(3),
    "our key without our content": torch_file({"alexnet_pl": None}),
    "our key without switches": torch_file({"alexnet_pl": {}}),
    "plain pickle": pickle.dumps({"alexnet_pl": {"switches": {}}}, 2),
    "module": torch_file(torch.nn.Linear(2, 2)),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_other_file_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "given.ckpt"
    path.write_bytes(FOREIGN[what])
    with pytest.raises(UserError, match=r"^ckpt_path: .*given\.ckpt") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_truncated_checkpoint_is_refused(saved: Path, tmp_path: Path) -> None:
    """As after a full disk or an interrupted copy."""
    whole, path = saved.read_bytes(), tmp_path / "cut.ckpt"
    for length in (10, 1000, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.ckpt"):
            read_checkpoint(path)


def test_path_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "away.ckpt"):
        with pytest.raises(UserError, match=str(path)):
            check_compatible(path, SWITCHES)


class Bomb:
    """A pickle that creates a folder if a reader executes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    """In both of torch's formats and as a plain pickle, beside otherwise valid content."""
    flag = tmp_path / "executed"
    content = {"alexnet_pl": {"switches": SWITCHES}, "state_dict": {}, "bomb": Bomb(flag)}
    torch.save(content, tmp_path / "new.ckpt")
    torch.save(content, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(content, 2))
    for name in ("new", "old", "plain"):
        with pytest.raises(UserError, match=name):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    assert not flag.exists()
    pickle.loads(pickle.dumps(Bomb(flag)))
    assert flag.exists(), "the bomb is no bomb"


def test_failed_write_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new/last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": torch.ones(2)}, path)

    def half(checkpoint: dict[str, torch.Tensor], file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(
        UserError, match=r"last.ckpt: not written \(No space left on device\); .* still holds the previous checkpoint"
    ):
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(2)}, path)
    assert torch.load(path, weights_only=True)["a"].sum() == 2
    assert [found.name for found in path.parent.iterdir()] == ["last.ckpt"]


def test_full_disk_is_reported_in_one_line(tmp_path: Path) -> None:
    """Uses the kernel's limit on file sizes; torch.save itself raises RuntimeError."""
    code = f"""
import resource, signal, torch
from alexnet_pl.errors import UserError
from alexnet_pl.training.checkpointing import AtomicCheckpointIO
path = {str(tmp_path / "last.ckpt")!r}
AtomicCheckpointIO().save_checkpoint({{"a": torch.ones(2)}}, path)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    AtomicCheckpointIO().save_checkpoint({{"a": torch.zeros(1_000_000)}}, path)
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "last.ckpt: not written (File too large)" in done.stdout
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["a"].sum() == 2
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("seed", range(20))
def test_flipped_byte_is_detected_or_harmless(saved: Path, tmp_path: Path, seed: int) -> None:
    """Padding between entries may change without harm, but no tensor or setting may."""
    content = bytearray(saved.read_bytes())
    place = random.Random(seed).randrange(len(content))
    content[place] ^= 0xFF
    path = tmp_path / "flipped.ckpt"
    path.write_bytes(content)
    try:
        found = read_checkpoint(path)
    except UserError:
        return
    wanted = read_checkpoint(saved)
    assert found["alexnet_pl"] == wanted["alexnet_pl"]
    assert all(torch.equal(value, wanted["state_dict"][name]) for name, value in found["state_dict"].items())


def test_corrupt_tensor_is_named_with_the_previous_checkpoint(saved: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(saved, weights_only=True)
    marked = torch.full((1000,), 1234.5)
    for step in (7, 8):
        whole = {**checkpoint, "global_step": step, "state_dict": {"w": marked}}
        AtomicCheckpointIO().save_checkpoint(whole, tmp_path / "last.ckpt")
    content = bytearray((tmp_path / "last.ckpt").read_bytes())
    content[content.index(marked[:8].numpy().tobytes()) + 2] ^= 1
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=r"last.ckpt is corrupt \(.*data/0: its checksum differs\)") as error:
        read_checkpoint(tmp_path / "last.ckpt")
    assert f"ckpt_path={tmp_path / 'previous.ckpt'}" in str(error.value)
    assert read_checkpoint(tmp_path / "previous.ckpt")["global_step"] == 7


@pytest.mark.parametrize(
    ("course", "limit", "warns"),
    [({"seed": 0}, 2, True), ({"seed": 0}, 0, False), ({"seed": 0}, 1.0, False), ({LIMITED: "spread"}, 2, False)],
)
def test_older_run_of_limited_validations_is_named(
    course: dict[str, Any], limit: float, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was validated on the first images of the split, which a plateau compares with the next errors."""
    warn_of_other_validation({"alexnet_pl": {"switches": SWITCHES, "course": course}}, limit)
    assert ("trainer.limit_val_batches=2: the resumed run" in capsys.readouterr().err) == warns


def test_previous_checkpoint_is_of_an_earlier_step(saved: Path) -> None:
    """Two callbacks may save after the same step."""
    writer, last = AtomicCheckpointIO(), saved.parent / "last.ckpt"
    for step in (7, 8, 8):
        writer.save_checkpoint({"state_dict": {}, "global_step": step, "alexnet_pl": {"switches": {}}}, last)
    assert [read_checkpoint(last.with_name(name))["global_step"] for name in ("previous.ckpt", "last.ckpt")] == [7, 8]


def test_kill_between_rotation_and_write_leaves_no_extra_file(
    saved: Path,
) -> None:
    """last.ckpt and previous.ckpt are then two names of one file; renaming one to the other does nothing (POSIX)."""
    os.link(saved, saved.with_name("previous.ckpt"))
    left = saved.with_name(f"previous.ckpt.{machine()}-{2**22 + 1}.tmp")  # a number above Linux's last
    left.write_bytes(b"of a kill just before")
    before = saved.read_bytes()
    AtomicCheckpointIO().save_checkpoint({"state_dict": {}, "global_step": 8, "alexnet_pl": {"switches": {}}}, saved)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert saved.with_name("previous.ckpt").read_bytes() == before
    assert read_checkpoint(saved)["global_step"] == 8


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("state_dict",), {"weight": 3}),
        (("global_step",), "7"),
        (("global_step",), -1),
        (("metrics_rows",), "x"),
        (("alexnet_pl", "classes"), [3]),
        (("alexnet_pl", "classes"), [["n1"], ["n2", "two"]]),
        (("alexnet_pl", "classes"), None),
        (("alexnet_pl", "store"), []),
        (("alexnet_pl", "lineage"), ["x"]),
        (("alexnet_pl", "switches"), {"model": None}),
        (("alexnet_pl", "course"), 3),
        (("loops",), {"fit_loop": 3}),
    ],
)
def test_entry_of_a_wrong_type_is_named(saved: Path, keys: tuple[str, ...], value: Any) -> None:
    checkpoint = torch.load(saved, weights_only=True)
    node = checkpoint
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    torch.save(checkpoint, saved)
    with pytest.raises(UserError, match=rf"last\.ckpt is not a checkpoint of alexnet_pl \({'.'.join(keys)}"):
        read_checkpoint(saved)


NOT_DENSE: dict[str, Callable[[], torch.Tensor]] = {
    "meta": lambda: torch.zeros(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    "quantized": lambda: torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")  # torch's, of sparse and quantized tensors
@pytest.mark.parametrize("kind", NOT_DENSE)
def test_tensor_that_is_not_dense_and_real_is_refused(saved: Path, kind: str) -> None:
    """A network would compute on uninitialized memory in place of a meta tensor."""
    checkpoint = torch.load(saved, weights_only=True)
    checkpoint["state_dict"]["weight"] = NOT_DENSE[kind]()
    torch.save(checkpoint, saved)
    with pytest.raises(UserError, match=r"last\.ckpt is not a .* \(state_dict\.weight: not a dense tensor of real"):
        read_checkpoint(saved)


@pytest.mark.parametrize("skip", ["0", "1"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pickle_that_unpacks_to_much_is_refused(
    saved: Path, method: int, skip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.load would unpack 10 MB to 2.5 GB before it sees that they are no checkpoint."""
    monkeypatch.setenv("ALEXNET_PL_SKIP_CHECKSUM", skip)
    with zipfile.ZipFile(saved, "w", method) as file:
        file.writestr("last/data.pkl", bytes(2**24 + 1))
    with pytest.raises(UserError, match=r"last\.ckpt is corrupt \(last/data\.pkl: (compressed|16,777,217 bytes)\)"):
        read_checkpoint(saved)


def test_checksum_can_be_skipped(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(saved.read_bytes())
    content[content.index(torch.arange(5000.0).numpy().tobytes()) + 400] ^= 1
    saved.write_bytes(content)
    for value in ("", "0"):
        monkeypatch.setenv("ALEXNET_PL_SKIP_CHECKSUM", value)
        with pytest.raises(UserError, match="its checksum differs"):
            read_checkpoint(saved)
    monkeypatch.setenv("ALEXNET_PL_SKIP_CHECKSUM", "1")
    assert (read_checkpoint(saved)["state_dict"]["weight"] != torch.arange(5000.0)).sum() == 1
