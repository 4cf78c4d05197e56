"""Fine-tuning on the user's own images: copied, frozen and trained layers, and the records of the run folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import alexnet_pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from PIL import Image
from run_folders import load
from running import Compose, last, run
from typed_words import type_words

from alexnet_pl.commands.network_of_weights import fill_in
from alexnet_pl.commands.typed_overrides import started_recipe
from alexnet_pl.config.isolated_config import isolated_config
from alexnet_pl.config.options import TransferOptions, make_transfer_options
from alexnet_pl.data.store.integrity import compute_fingerprint
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from alexnet_pl.experiment.trained_run import TrainedRun
from alexnet_pl.inference.weights import read_weights, write_safetensors
from alexnet_pl.models.alexnet import AlexNet
from alexnet_pl.training.transfer import freeze_layers, learning_rate_scales

KEYS = ["logger=csv", "performance.compile=false", "trainer.precision=32-true"]
KEYS += ["data.batch_size=8", "trainer.log_every_n_steps=1"]
STAGES = "schedule.staged.stages=[{epoch: 1, weights: {all: 0.1}}]"
COPIED = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
CLASSES = ("ant", "bonsai", "chair", "dalmatian")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders without a split, as in Caltech-101; each class has its own color."""
    root = tmp_path_factory.mktemp("own") / "101_ObjectCategories"
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for image in range(12):
            pixels = rng.integers(0, 120, (80, 100, 3), dtype=np.uint8)
            pixels[..., : number + 1] += np.uint8(40 * number)
            Image.fromarray(pixels).save(root / name / f"image_{image:04}.jpg")
    return root


@pytest.fixture
def store(photos: Path, tmp_path: Path, config: Compose) -> Path:
    where = [f"data.root={tmp_path / 'caltech'}", f"prepare.source={photos}", "prepare.val_share=0.25", "data.size=72"]
    run(config("finetune", *where), "prepare", tmp_path / "prepare")
    return tmp_path / "caltech"


def finetuned(config: Compose, store: Path, weights: Path, folder: Path, *words: str) -> dict[str, Any]:
    """Last checkpoint of a fit whose folder contains the config as Hydra writes it."""
    cfg = config("finetune", f"data.root={store}", f"transfer.weights={weights}", "trainer.max_epochs=1", *KEYS, *words)
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    run(cfg, "fit", folder)
    return load(last(folder))


def test_one_command_fine_tunes_a_network_on_the_stores_classes(
    config: Compose, store: Path, tiny_run: Path, tmp_path: Path
) -> None:
    words = ["transfer.freeze=[conv1,conv2]", "+transfer.rates.conv3=0.01", "schedule.steps.drops=[]"]
    found = finetuned(config, store, tiny_run, tmp_path / "run", *words)
    before, after = load(last(tiny_run))["state_dict"], found["state_dict"]
    assert [name for _, name in found["alexnet_pl"]["classes"]] == list(CLASSES)
    assert found["alexnet_pl"]["lineage"][0]["store"]["name"] == "tiny"
    for name, tensor in after.items():
        if name.startswith(("net.conv1", "net.conv2")):
            assert torch.equal(tensor, before[name]), name
        elif name.startswith("net.") and not name.startswith("net.fc8"):
            assert not torch.equal(tensor, before[name]), name
            assert (tensor - before[name]).norm() < 0.05 * before[name].norm(), f"{name} began elsewhere"
    rates = {group["name"]: group["lr"] for group in found["optimizer_states"][0]["param_groups"]}
    wanted = {
        "conv1": 0,
        "conv2": 0,
        "conv3": 1e-4,
        "conv4": 1e-3,
        "conv5": 1e-3,
        "fc6": 1e-3,
        "fc7": 1e-3,
        "fc8": 1e-2,
    }
    for layer, rate in wanted.items():
        assert rates[f"{layer}.weight"] == pytest.approx(rate)
        assert rates[f"{layer}.bias"] == pytest.approx(2 * rate)
    opened = TrainedRun(tmp_path / "run")  # from its config alone, as every later command does
    assert (opened.cfg.data.name, opened.cfg.data.size, opened.cfg.model.num_classes) == ("caltech", 72, 4)
    assert opened.cfg.augment.crop == 67
    assert opened.module.net.fc8.weight.shape[0] == 4
    assert len(opened.store.split("val")) > 8
    assert opened.cfg.transfer.layers == COPIED


def test_fine_tuned_network_reads_a_store_of_other_classes(
    config: Compose, store: Path, tiny_store: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """Commands on trained weights keep their number of classes; a new fit takes the store's, unless it is typed."""
    finetuned(config, store, tiny_run, tmp_path / "run", "+trainer.limit_train_batches=1")
    weights = last(tmp_path / "run")
    cfg = config("finetune", f"data.root={tiny_store}", f"ckpt_path={weights}", f"transfer.weights={tiny_run}")
    cfg.command = "features"
    fill_in(cfg, tmp_path / "run")
    assert (cfg.model.num_classes, cfg.data.name) == (4, "tiny")
    cfg = config("finetune", f"data.root={store}", f"transfer.weights={weights}")
    fill_in(cfg, tmp_path / "new")
    assert cfg.model.num_classes == 4
    cfg = config("finetune", f"data.root={tiny_store}", f"transfer.weights={weights}")
    fill_in(cfg, tmp_path / "new")
    assert cfg.model.num_classes == 10


def test_exported_weights_and_checkpoint_give_the_same_initial_network(
    config: Compose, store: Path, tiny_run: Path, tmp_path: Path
) -> None:
    write_safetensors(read_weights(tiny_run), tmp_path / "model.safetensors")
    sources = [last(tiny_run), tmp_path / "model.safetensors"]
    first, second = [
        finetuned(config, store, source, tmp_path / f"run{number}", "+trainer.limit_train_batches=1")
        for number, source in enumerate(sources)
    ]
    assert all(torch.equal(tensor, second["state_dict"][name]) for name, tensor in first["state_dict"].items())
    assert first["alexnet_pl"]["lineage"] == second["alexnet_pl"]["lineage"]
    (stage,) = second["alexnet_pl"]["lineage"]
    assert (stage["finished"], stage["training"]["model"]["width"]) == (True, 0.25)


def test_repeated_fit_refuses_other_weights_to_start_from(
    config: Compose,
    store: Path,
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The weights may be exported, or be there no more; the same in another file are the same. A resumed fit does not
    read its weights, so those that its own config names may change."""
    weights = shutil.copy(last(tiny_run), tmp_path / "last.ckpt")
    write_safetensors(read_weights(tiny_run), tmp_path / "same.safetensors")
    other = load(last(tiny_run))
    other["state_dict"]["net.conv1.weight"] += 1
    torch.save(other, tmp_path / "other.ckpt")
    write_safetensors(read_weights(tmp_path / "other.ckpt"), tmp_path / "other.safetensors")
    folder, words = tmp_path / "run", ["trainer.max_epochs=1", "+trainer.limit_train_batches=1", *KEYS, *OF_TINY]
    cfg = config("finetune", f"data.root={store}", f"transfer.weights={weights}", *words)
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(cfg, folder / ".hydra/config.yaml")
    run(cfg, "fit", folder)

    def repeat(name: str) -> None:
        monkeypatch.undo()
        type_words(monkeypatch, f"transfer.weights={tmp_path / name}")
        capsys.readouterr()
        run(cfg, "fit", folder, Path("auto"), **{"transfer.weights": str(tmp_path / name)})

    for same in ("last.ckpt", "same.safetensors", "nowhere.ckpt"):
        repeat(same)
        assert "training already finished" in capsys.readouterr().out
    for name in ("other.ckpt", "other.safetensors"):
        with pytest.raises(UserError, match=r"^transfer.weights: .* started from other weights \(.*alexnet_pl fit "):
            repeat(name)
    shutil.copy(tmp_path / "other.ckpt", weights)  # as a link to the latest run moves
    for at in (Path("auto"), last(folder)):
        run(cfg, "fit", folder, at)
    repeat("last.ckpt")
    monkeypatch.undo()
    for at in (Path("auto"), last(folder)):  # named by a recipe that has changed
        with pytest.raises(UserError, match=r"^transfer.weights: .* started from other weights"):
            run(cfg, "fit", folder, at, **{"transfer.weights": str(tmp_path / "other.safetensors")})


OF_TINY = ["transfer.network=recipe", "+model.width=0.25", "augment.crop=67", "data.size=72"]


def test_null_layers_are_all_but_the_last_of_the_recipes_network_too(
    config: Compose, store: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """Nothing was copied, and the run counted as fine-tuned."""
    first, second = [
        finetuned(config, store, tiny_run, tmp_path / f"run{number}", "+trainer.limit_train_batches=1", *words)
        for number, words in enumerate(([], OF_TINY))
    ]
    assert all(torch.equal(tensor, second["state_dict"][name]) for name, tensor in first["state_dict"].items())
    assert first["alexnet_pl"]["lineage"] == second["alexnet_pl"]["lineage"] != []
    assert second["callbacks"]["FitRecord"]["training"]["transfer"]["layers"] == COPIED
    saved = OmegaConf.load(tmp_path / "run1/.hydra/config.yaml")
    assert saved.transfer.layers == COPIED
    assert saved.data.name == "caltech"


@pytest.mark.parametrize(("word", "warns"), [("model.norm=false", True), ("model.dropout=0.25", False)])
def test_copied_layers_that_compute_something_else_are_named(
    config: Compose,
    store: Path,
    tiny_run: Path,
    tmp_path: Path,
    word: str,
    warns: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Their shapes are equal."""
    finetuned(config, store, tiny_run, tmp_path / "run", *OF_TINY, word)
    line = f"transfer.weights={tiny_run}: trained with other settings (model.norm=true, here false), so its layers"
    assert (line in capsys.readouterr().err) == warns


def test_null_layers_with_a_recipe_to_pre_train_are_filled_in(config: Compose, tmp_path: Path) -> None:
    cfg = config("imagenette", "data.root=nowhere", "transfer.layers=null", "transfer.pretrain_recipe=fall2011")
    fill_in(cfg, tmp_path)
    assert make_transfer_options(cfg).layers == COPIED


def test_unnamed_store_is_named_after_its_folder(store: Path) -> None:
    found = Store(store)
    assert (found.name, [name for name, _ in found.classes]) == ("caltech", list(CLASSES))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["transfer.weights=null"], "transfer.weights is required: pass transfer.weights=RUN"),
        (["transfer.weights=away"], "transfer.weights: away does not exist; give RUN"),
        ([*OF_TINY, "transfer.weights=away"], "transfer.weights: away does not exist; give RUN"),
        ([*OF_TINY, "transfer.weights=null"], "transfer.weights or pretrain_recipe is required with transfer.layers"),
        (["transfer.freeze=[fc8]"], "transfer.freeze: fc8 is not copied"),
        (["transfer.freeze=[conv9]"], "transfer.freeze: this network has no conv9, only conv1"),
        (["+transfer.rates.conv9=1"], "transfer.rates: this network has no conv9"),
        (["transfer.rates.all=-1"], "transfer.rates.all=-1.0: at least 0"),
        (["transfer.network=mine"], "transfer.network=mine: one of recipe, weights"),
        (
            ["~transfer.rates", "schedule.name=staged", STAGES, "transfer.freeze=[conv9]"],
            "transfer.freeze: this network",
        ),
        (["schedule.name=staged", STAGES], "transfer.rates: schedule.name=staged sets every rate itself"),
    ],
)
def test_mistakes_are_reported_in_one_line(
    config: Compose, store: Path, tiny_run: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(UserError) as error:
        finetuned(config, store, tiny_run, tmp_path / "run", *words)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_names_in_stores_and_weights_cannot_read_the_environment(
    config: Compose, store: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores and weights are shared, and the config is logged."""
    monkeypatch.setenv("CANARY", "relu")
    resolver = "${oc.env:CANARY}"
    weights = read_weights(tiny_run)
    weights.info.architecture["model"]["activation"] = resolver
    write_safetensors(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"transfer\.weights\.model\.activation=.*not allowed"):
        finetuned(config, store, tmp_path / "model.safetensors", tmp_path / "run")
    description = {**json.loads((store / "store.json").read_text()), "name": resolver}
    description["fingerprint"] = compute_fingerprint(description, store)
    (store / "store.json").write_text(json.dumps(description))
    for number, recipe in enumerate((["finetune", f"transfer.weights={tiny_run}"], ["folder"])):
        with pytest.raises(UserError, match=r"store\.json: .*name=.*up to 100 letters"):
            run(config(*recipe, f"data.root={store}", *KEYS), "fit", tmp_path / f"other{number}")


def test_images_of_another_size_get_the_prepare_command(
    config: Compose, photos: Path, tiny_run: Path, tmp_path: Path
) -> None:
    where = [f"data.root={tmp_path / 'other'}", f"prepare.source={photos}", "prepare.val_share=0.25", "data.size=64"]
    run(config("finetune", *where), "prepare", tmp_path / "prepare")
    with pytest.raises(UserError, match=r"squares of 64 pixels.*prepare the images with data.size=72"):
        finetuned(config, tmp_path / "other", tiny_run, tmp_path / "run")


def test_learning_rate_factors_and_gradients_per_layer() -> None:
    net = AlexNet(num_classes=4, crop=67, width=0.1)
    transfer = TransferOptions(
        layers=["conv1", "conv2", "fc6"], weights="x", freeze=["conv1"], rates={"all": 0.1, "fc6": 0.5}
    )
    scales = learning_rate_scales(net, transfer)
    assert scales == {"conv1": 0, "conv2": 0.1, "fc6": 0.5}
    freeze_layers(net, scales)
    assert {name for name, weight in net.named_parameters() if not weight.requires_grad} == {
        "conv1.weight",
        "conv1.bias",
    }
    every = TransferOptions(layers=["conv1", "conv2"], weights="x", freeze=["all"])
    assert learning_rate_scales(net, every) == {"conv1": 0, "conv2": 0}


def test_recipe_without_defaults_is_the_users_and_a_run_folder_is_none(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A complete recipe lost its keys of the network to those of the weights."""
    (tmp_path / "mine.yaml").write_text("model: {dropout: 0.1}\n")
    type_words(monkeypatch)
    for path, found in ((tmp_path / "mine.yaml", tmp_path / "mine.yaml"), (isolated_config(tiny_run), None)):
        job: Any = HydraConfig.get()
        job.runtime.config_sources = [{"provider": "main", "path": str(path.parent)}]
        job.job = {"config_name": path.stem}
        assert started_recipe() == found


def test_users_recipe_takes_precedence_over_the_weights(store: Path, tiny_run: Path, tmp_path: Path) -> None:
    """As its keys say; those that it leaves out, and those of finetune.yaml, are from the weights."""
    (tmp_path / "base.yaml").write_text(
        "defaults: [finetune, _self_]\nmodel: {dropout: 0.123}\naugment: {flip: false}\n"
    )
    (tmp_path / "mine.yaml").write_text("defaults: [base, _self_]\naugment: {noise: 0.0, random_crop: true}\n")
    words = [f"data.root={store}", f"transfer.weights={tiny_run}", "trainer.max_epochs=1", *KEYS]
    words += ["trainer.limit_train_batches=1", "hydra.run.dir=run", "augment={noise: 0.2}"]
    done = alexnet_pl("fit", "-c", "mine.yaml", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    saved = OmegaConf.load(tmp_path / "run/.hydra/config.yaml")
    architecture = load(last(tmp_path / "run"))["alexnet_pl"]["switches"]
    for model, augment in ((saved.model, saved.augment), (architecture["model"], architecture["augment"])):
        assert (model["dropout"], model["width"], model["num_classes"]) == (0.123, 0.25, len(CLASSES))
        assert (augment["flip"], augment["noise"], augment["crop"]) == (False, 0.2, 67)
