"""Building a run from its config: every recipe builds in both variants; wrong keys and values are named."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from running import Compose

from alexnet_pl.commands import prepare
from alexnet_pl.config import checks, schema, sections
from alexnet_pl.config.recipes import SHIPPED, compose
from alexnet_pl.errors import UserError
from alexnet_pl.experiment import build
from alexnet_pl.experiment.trainer import make_trainer
from alexnet_pl.runtime.precision import precision_in_use
from alexnet_pl.training.epoch_schedules import LoggedSchedule, StagedSchedule, StepSchedule
from alexnet_pl.training.schedules import PlateauSchedule

ALL = sorted(path.stem for path in SHIPPED.glob("[!_]*.yaml"))
CIFAR = [name for name in ALL if name.startswith("cifar10")]
BOXES = ["boxes_demo", "boxes_demo_localise", "overfeat_localise", "overfeat_detect"]
OVERFEAT = [name for name in ALL if "overfeat" in name and name not in BOXES]
RECIPES = [name for name in ALL if name not in (*CIFAR, *OVERFEAT, *BOXES, "boxes_demo_classifier", "codes")]


@pytest.mark.parametrize("variant", ["as_run", "as_printed"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_builds_in_both_variants(config: Compose, name: str, variant: str, tmp_path: Path) -> None:
    cfg = config(name, f"variant={variant}", "logger=csv", f"data.root={tmp_path / 'store'}")
    checks.check_config(cfg)
    cfg.model.num_classes = cfg.model.num_classes or 21  # null stands for the number of classes in the store
    with torch.device("meta"):
        net = build.make_module(cfg).net
    build.check_staged_layers(cfg, net)
    assert net.fc8.out_features == cfg.model.num_classes
    assert net.norm1.spec.alpha == pytest.approx(1e-4 / 5 if variant == "as_run" else 1e-4)
    build.make_data(cfg)
    trainer = make_trainer(cfg, tmp_path, build.classifier_callbacks(cfg, tmp_path))
    assert trainer.max_epochs == cfg.trainer.max_epochs


@pytest.mark.parametrize("name", CIFAR)
def test_cifar10_recipes_build(config: Compose, name: str, tmp_path: Path) -> None:
    cfg = config(name, "logger=csv", f"data.root={tmp_path / 'store'}")
    checks.check_config(cfg)
    net = build.make_module(cfg).net
    assert net(torch.zeros(2, 3, cfg.augment.crop, cfg.augment.crop)).shape == (2, 10)
    build.make_data(cfg)
    trainer = make_trainer(cfg, tmp_path, build.classifier_callbacks(cfg, tmp_path))
    assert trainer.max_epochs == cfg.trainer.max_epochs


@pytest.mark.parametrize("name", OVERFEAT)
def test_overfeat_recipes_build(config: Compose, name: str, tmp_path: Path) -> None:
    cfg = config(name, "logger=csv", f"data.root={tmp_path / 'store'}")
    checks.check_config(cfg)
    with torch.device("meta"):
        module = build.make_module(cfg)
        picture = torch.empty(2, 3, cfg.augment.crop, cfg.augment.crop)
    assert module.net(picture).shape == (2, cfg.model.num_classes)
    assert module.views.startswith(f"dense_fine_{'_'.join(map(str, cfg.test.scales))}")
    build.make_data(cfg)
    trainer = make_trainer(cfg, tmp_path, build.classifier_callbacks(cfg, tmp_path))
    assert trainer.max_epochs == cfg.trainer.max_epochs


def test_dense_windows_require_imagenet_networks(config: Compose) -> None:
    with pytest.raises(UserError, match=r"model\.name=alexnet or overfeat"):
        build.make_module(config("cifar10_13pct", "test.views=dense"))
    with torch.device("meta"), pytest.raises(UserError, match=r"test\.views=dense: model\.overlap=false"):
        build.make_module(config("ilsvrc2012", "test.views=dense", "model.overlap=false"))


@pytest.mark.parametrize("name", ["imagenette", "cifar10", "cifar10_13pct", "overfeat_fast"])
def test_crop_that_a_network_refuses_is_a_key_of_the_augmentation(config: Compose, name: str) -> None:
    with pytest.raises(UserError, match=r"^augment\.crop=7: ") as error:
        build.make_module(config(name, "augment.crop=7"))
    assert error.value.__cause__ is None or isinstance(error.value.__cause__, ValueError), "raised once, not renamed"


def test_figure_1_networks_have_own_rates_and_no_regularisation(config: Compose) -> None:
    for activation in ("relu", "tanh"):
        cfg = config("cifar10", f"model.activation={activation}")
        module = build.make_module(cfg)
        assert module.lr == cfg.schedule.lr_by_activation[activation]
        assert module.weight_decay == 0
        assert (module.augment.crop, module.augment.flip, module.augment.noise) == (32, False, 0)
    assert build.make_module(config("cifar10", "optim.lr=0.5")).lr == 0.5


def test_13_and_11_percent_recipes_match_the_layer_files(config: Compose) -> None:
    """Rates .001 and .002, decay .004, 350 + 150 + 10 + 10 epochs, nine views of 24 pixels.

    The file of 11 % has norms, 64 maps in local3 and a decay of .01 in fc10; all else is equal.
    """
    without, normed = config("cifar10_13pct"), config("cifar10_11pct")
    assert (without.model.norm, normed.model.norm, normed.model.local3_maps) == (False, True, 64)
    assert without.optim.layer_decay == {"conv1": 0, "conv2": 0}
    assert normed.optim.layer_decay == {"conv1": 0, "conv2": 0, "fc10": 0.01}
    normed.model.norm = False
    del normed.model.local3_maps, normed.optim.layer_decay.fc10
    assert without == normed
    assert (without.optim.lr, without.optim.bias_lr_scale, without.optim.weight_decay) == (0.001, 2, 0.004)
    assert without.data.include_val_after_epoch == 350
    assert (without.schedule.steps.drops, without.trainer.max_epochs) == ([501, 511], 520)
    assert (without.data.size, without.augment.crop, without.test.views) == (32, 24, "nine")


def test_printed_recipe_equals_the_main_one_as_printed(config: Compose) -> None:
    assert config("ilsvrc2012_printed") == config("ilsvrc2012", "variant=as_printed")


@pytest.mark.parametrize("name", ["demo", "folder", "finetune", "tinyimagenet"])
def test_text_divides_the_rates_of_biases_with_the_weights(config: Compose, name: str) -> None:
    """§6: "We used an equal learning rate for all layers". The program's biases keep theirs."""
    for variant, divided in {"as_run": False, "as_printed": True}.items():
        schedule = build.make_schedule(config(name, f"variant={variant}"))
        assert isinstance(schedule, StepSchedule)
        assert (schedule.biases, bool(schedule.drops)) == (divided, True)


def test_both_variants_set_the_same_keys() -> None:
    """Otherwise a difference in only one of them could not be changed alone."""
    program, printed = (OmegaConf.load(SHIPPED / f"variant/{name}.yaml") for name in ("as_run", "as_printed"))
    for name in ("model", "augment", "optim"):
        assert list(program[name]) == list(printed[name])
    for name, keys in program.schedule.items():
        assert sorted(keys) == sorted(printed.schedule[name])


def test_main_recipe_has_the_papers_constants(config: Compose) -> None:
    """§6 and §5.1."""
    cfg = config("ilsvrc2012")
    assert (cfg.data.batch_size, cfg.optim.momentum, cfg.optim.weight_decay) == (128, 0.9, 0.0005)
    assert (cfg.optim.lr, cfg.schedule.plateau.times, cfg.model.dropout, cfg.augment.noise) == (0.01, 3, 0.5, 0.1)
    assert (cfg.data.size, cfg.augment.crop, cfg.model.num_classes) == (256, 224, 1000)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("++model.tower=1", "model.tower: unknown key; did you mean model.towers?"),
        ("++augment.crops=1", "did you mean augment.crop?"),
        ("++optim.learning_rate=1", "optim.learning_rate: this key is now optim.lr"),
        ("++data.batchsize=1", "did you mean data.batch_size?"),
        ("++performance.optimzed=true", "did you mean performance.optimized?"),
        ("++trainer.max_epoch=3", "did you mean trainer.max_epochs?"),
        ("++schedule.plateau.patient=3", "did you mean schedule.plateau.patience?"),
        ("++sede=3", "did you mean seed?"),
        ("optim.lr=fast", "optim.lr=fast: expected a number$"),
        ("model.norm=perhaps", "model.norm=perhaps: expected true or false"),
        ("data.batch_size=1.5", "data.batch_size=1.5: expected a whole number$"),
        ("model.towers=3", "model.towers=3: 1 or 2"),
        ("model.without=conv1", "model.without=conv1: one of conv2"),
        ("model.activation=gelu", "model.activation=gelu: one of relu, tanh"),
        ("augment.crop=300", "augment.crop=300"),
        ("augment.crop=20", "augment.crop=20: too few pixels"),
        ("augment.noise_scale=variance", "augment.noise_scale=variance"),
        ("schedule.name=cosine", "schedule.name=cosine: one of plateau, logged, steps, staged, constant"),
        ("schedule.name=[steps]", r"schedule.name=\['steps'\]: one of plateau"),
        ("~schedule.name", "schedule.name=None: one of plateau"),
        ("+schedule.step.drops=[2]", "schedule.step: unknown key; did you mean schedule.steps?"),
        (
            "+schedule.plateau.monitor=foo",
            "schedule.plateau.monitor=foo: one of val/top1_error, val/top5_error, val/loss",
        ),
        ("schedule.plateau.min_delta=-1", "schedule.plateau.min_delta=-1.0: at least 0"),
        ("~transfer.layers", "transfer.layers: missing; fit needs it"),
        ("~augment", "augment: missing; fit needs it"),
        ("+model.name=vgg", "model.name=vgg: one of alexnet, conv, local"),
        ("+model.name=[conv]", r"model.name=\['conv'\]: one of alexnet, conv, local"),
        ("+optim.layer_decay.conv9=0", "optim.layer_decay.conv9: the network has no such layer"),
        ("+optim.layer_decay.conv1=-1", "optim.layer_decay.conv1=-1.0: at least 0"),
        ("data.shuffle=never", "data.shuffle=never: one of epoch, once"),
        ("model.unit_biases=[fc9]", "model.unit_biases=fc9: fc9 is none of conv1"),
        ("schedule.plateau.bias_drop=4", "schedule.plateau.bias_drop=4: a division from 1 to 3, all, or null"),
        ("schedule.plateau.bias_drop=true", "schedule.plateau.bias_drop: .*True.*bool"),
        ("data.include_val_after_epoch=-1", "data.include_val_after_epoch=-1"),
        ("test.views=eleven", "test.views=eleven: one of center, ten, nine"),
        ("schedule.plateau.patience=0", "schedule.plateau.patience=0"),
        ("+trainer.accumulate_grad_batches=4", "trainer.accumulate_grad_batches=4: not supported.* data.batch_size"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1: not supported"),
        ("+trainer.overfit_batches=10", "trainer.overfit_batches=10: not supported"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run=True: not supported"),
        ("+trainer.num_sanity_val_steps=2", "trainer.num_sanity_val_steps=2: not supported"),
        ("+trainer.enable_checkpointing=false", "trainer.enable_checkpointing=False: not supported"),
        ("+trainer.callbacks=[x]", "trainer.callbacks=.*: not supported"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc: a whole number, at least -1"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: a whole number"),
        ("trainer.log_every_n_steps=-1", "trainer.log_every_n_steps=-1: a whole number, at least 0"),
        ("+trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch=0: a whole number, at least 1"),
        ("+trainer.val_check_interval=0", "trainer.val_check_interval=0: a number of batches"),
        ("+trainer.val_check_interval='00:00:05:00'", "trainer.val_check_interval=00:00:05:00: a number of batches"),
        ("+trainer.limit_val_batches=0", "trainer.limit_val_batches=0: schedule.name=plateau follows the validation"),
        ("data.include_val_after_epoch=2", "data.include_val_after_epoch: schedule.name=plateau follows the error of"),
        ("+trainer.max_time='00:01:00:00'", "trainer.max_time=00:01:00:00: not supported, .* `timeout -s INT"),
        ("performance.cuda_graph=true", "performance.cuda_graph: needs one NVIDIA GPU"),
        ("+trainer.limit_train_batches=0", "trainer.limit_train_batches=0: a whole number, at least 1"),
        ("+trainer.limit_train_batches=0.5", "trainer.limit_train_batches=0.5: a whole number"),
        ("+trainer.min_epochs=99", "trainer.min_epochs=99: more than trainer.max_epochs=3"),
        ("+trainer.deterministic=foo", "trainer.deterministic=foo: true, false or warn"),
        ("+trainer.num_nodes=2", "trainer.num_nodes=2: nothing starts the other nodes"),
        ("trainer.devices=999", r"trainer.devices=999: this machine has \d+ CPU cores"),
        ("optim.momentum=2", "optim.momentum=2.0: at least 0 and below 1"),
        ("model.num_classes=1000000000", r"model: training this network takes 49,\d+ GB of memory; this machine has"),
        ("seed=4294967296", "seed=4294967296: a whole number from 0 to 4294967295"),
        ("objective=val/nothing", "objective=val/nothing: one of val/top1_error"),
        ("optim=null", "optim=null: this is a section"),
        ("trainer=5", "trainer=5: this is a section"),
        ("++schedule.steps=9", "schedule.steps=9: this is a section"),
        ("report.images_per_second=-1", r"report.images_per_second=-1.0: above 0"),
        ("report.images_per_second=abc", r"report.images_per_second=abc: expected a number$"),
        ("report.runs=5", "report.runs=5: a path, or a list of paths"),
        ("report.runs=null", "report.runs=None: a path"),
        ("wandb.project=null", "wandb.project=null: this key needs a value"),
        ("test.save_predictions=maybe", "test.save_predictions=maybe: true, false or auto"),
        ("ensemble.groups=x", "ensemble.groups: expected"),
        ("bench.rounds=0", "bench.rounds=0: at least 1"),
        ("trainer.precision=8", "trainer.precision=8: one of auto"),
        ("trainer.accelerator=abacus", "trainer.accelerator=abacus: not available"),
        ("trainer.devices=0", "trainer: .*devices"),
        ("logger=paper", "logger=paper: one of wandb"),
    ],
)
def test_wrong_key_type_or_value_is_named(config: Compose, override: str, says: str, tmp_path: Path) -> None:
    cfg = config("demo", "logger=csv", "schedule.name=plateau", override)
    with torch.device("meta"), pytest.raises(UserError, match=says):  # noqa: PT012 (each mistake has its own place)
        checks.check_config(cfg)
        build.make_data(cfg)
        build.make_module(cfg)
        make_trainer(cfg, tmp_path, build.classifier_callbacks(cfg, tmp_path))


def test_missing_data_root_is_named(config: Compose) -> None:
    for needs_it in (schema.store_root, build.make_data):
        with pytest.raises(UserError, match=r"data.root is required"):
            needs_it(config("ilsvrc2012"))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("prepare.filter=nearest", "prepare.filter=nearest: one of bilinear, bicubic"),
        ("data.size=0", "data.size=0: at least 1"),
        ("data.size=abc", "data.size=abc: expected a whole number$"),
        ("prepare.names=x", "prepare.names: "),
        ("prepare.encoding=png", "prepare.encoding=png: one of raw, jpeg, whole"),
        ("prepare.quality=101", "prepare.quality=101: from 1 to 100"),
        ("prepare.images_per_shard=0", "prepare.images_per_shard=0: at least 1"),
        ("prepare.workers=-1", "prepare.workers=-1: at least 1"),
        ("prepare.part=2", "prepare.part=2: such as 2/8"),
        ("prepare.part=3/2", "prepare.part=3/2: such as 2/8"),
    ],
)
def test_invalid_prepare_option_is_named(config: Compose, tmp_path: Path, wrong: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare.prepare(config("imagenette", f"data.root={tmp_path}", "prepare.source=x", wrong), tmp_path)


def test_prepare_without_a_source_is_refused(config: Compose, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prepare.source is required"):
        prepare.prepare(config("imagenette", f"data.root={tmp_path}"), tmp_path)


def test_learning_rate_scales_with_the_batch_if_configured(config: Compose, capsys: pytest.CaptureFixture[str]) -> None:
    """Only a fit says so: the module is also made for pre-training and to open a finished run."""
    words = ["data.root=x", "model.num_classes=4", "augment.crop=67", "data.size=72", "data.batch_size=512"]
    with torch.device("meta"):
        assert build.make_module(config("ilsvrc2012", *words)).lr == 0.01
        cfg = config("ilsvrc2012", *words, "optim.scale_rate_from_batch=128")
        scaled = build.make_module(cfg)
    assert scaled.lr == pytest.approx(0.04)
    assert not capsys.readouterr().out
    build.announce_scaled_rate(cfg, scaled.lr)
    assert capsys.readouterr().out == "learning rate 0.01 × 512/128 = 0.04 (optim.scale_rate_from_batch)\n"
    with pytest.raises(UserError, match=r"^optim\.scale_rate_from_batch=0: a number of images"):
        build.scaled_optim(config("ilsvrc2012", *words, "optim.scale_rate_from_batch=0"))
    with pytest.raises(UserError, match=r"^optim\.lr=None: a number, to scale by optim\.scale_rate_from_batch"):
        build.scaled_optim(config("ilsvrc2012", *words, "optim.scale_rate_from_batch=128", "~optim.lr"))


def test_schedule_is_chosen_by_name_and_configured_by_its_section(config: Compose) -> None:
    plateau = build.make_schedule(config("demo", "schedule.name=plateau", "schedule.plateau.patience=7"))
    logged = build.make_schedule(config("demo", "schedule.name=logged", "+schedule.logged.stop=95"))
    assert isinstance(plateau, PlateauSchedule)
    assert plateau.patience == 7
    assert isinstance(logged, LoggedSchedule)
    assert (logged.drop1, logged.stop) == (25, 95)


def test_each_schedule_has_a_name_that_the_config_accepts() -> None:
    assert tuple(build.SCHEDULES) == sections.SCHEDULES


@pytest.mark.parametrize(("kind", "stage"), [("weights", "all: 1, conv9: 0"), ("biases", "conv9: 0")])
def test_layer_that_the_network_lacks_is_named_by_its_stage(
    config: Compose, tiny: list[str], kind: str, stage: str
) -> None:
    stages = f"[{{epoch: 1, weights: {{all: 0.1}}}}, {{epoch: 2, {kind}: {{{stage}}}}}]"
    cfg = config("imagenette", *tiny, "schedule.name=staged", f"schedule.staged.stages={stages}")
    with pytest.raises(UserError, match=rf"^schedule.staged.stages\[1\].{kind}: this network has no conv9, only conv1"):
        build.build_classifier(cfg)


@pytest.mark.parametrize(("wanted", "allowed"), [("tf32", True), ("32-true", False), ("bf16-mixed", False)])
def test_tf32_is_used_only_if_configured(wanted: str, allowed: bool, config: Compose, tmp_path: Path) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not allowed
    trainer = make_trainer(config("imagenette", "logger=csv", f"trainer.precision={wanted}"), tmp_path, [])
    assert trainer.precision == ("bf16-mixed" if wanted == "bf16-mixed" else "32-true")
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == allowed
    assert precision_in_use(str(trainer.precision), "cuda") == wanted
    assert precision_in_use(str(trainer.precision), "cpu") == trainer.precision


def test_each_ilsvrc_recipe_replays_its_own_run() -> None:
    """layer-params-145-2010 and -145: epochs of the first drop and of the end, and epsB at the end."""
    for year, (drop1, stop, bias_rate) in {"2010": (23, 93, 0.002), "2012": (25, 91, 0.02)}.items():
        cfg = compose(f"ilsvrc{year}", ["schedule.name=logged"])
        schedule = build.make_schedule(cfg)
        assert isinstance(schedule, LoggedSchedule)
        assert (schedule.drop1, schedule.stop, cfg.trainer.max_epochs) == (drop1, stop, stop)
        assert schedule.factor("conv2.weight", 51) == pytest.approx(0.01)
        first_rate = cfg.optim.lr * cfg.optim.bias_lr_scale
        assert first_rate * schedule.factor("fc8.bias", stop) == pytest.approx(bias_rate)


def test_epochs_in_which_runs_were_killed_are_counted_whole() -> None:
    """ "epoch 54: killed" in layer-params-146-2012-2011, 91 in -145, 93 in -145-2010, 6.6491 in -146-2009, 8.11295 in
    -146-2011, 28.3271 in -141-2009-half."""
    killed = {"finetune2012": 54, "ilsvrc2012": 91, "ilsvrc2010": 93}
    killed |= {"fall2009_chain": 6, "fall2011_chain": 8, "fall2009": 28}
    assert {recipe: compose(recipe).trainer.max_epochs for recipe in killed} == killed


def test_epochs_of_fall_2009_are_those_of_the_log() -> None:
    """layer-params-141-2009-half writes epoch and file, such as 13.3361; an epoch had about 4,400 files."""
    stages = compose("fall2009").schedule.staged.stages
    for stage, (epoch, file) in {1: (6, 2600), 2: (13, 3361), 3: (18, 2396), 4: (21, 1949), 5: (25, 3718)}.items():
        assert stages[stage].epoch == pytest.approx(epoch + file / 4400, abs=0.006)


@pytest.mark.parametrize("recipe", ["fall2009_chain", "fall2011_chain", "fall2011"])
def test_bias_rates_of_pre_training_are_those_of_the_parameter_files(recipe: str) -> None:
    """The last epsB of layer-params-146-2009 and -146-2011: 0.02, in conv6 0.002, while epsW is 0.001 in all layers."""
    cfg = compose(recipe)
    schedule = build.make_schedule(cfg)
    assert isinstance(schedule, StagedSchedule)
    weights, biases, _ = schedule.rates(cfg.trainer.max_epochs)
    layers = ("conv1", "conv5", "conv6", "fc6", "fc8")
    assert [schedule.rate(f"{layer}.weight", weights, biases) for layer in layers] == [0.001] * 5
    assert [schedule.rate(f"{layer}.bias", weights, biases) for layer in layers] == [0.02, 0.02, 0.002, 0.02, 0.02]


def test_twin_that_was_pre_trained_on_fall_2009_follows_its_log() -> None:
    """Lines 182 to 191 of layer-params-146-2012-2009; its fc1000 has no phase of 0.01."""
    cfg = compose("finetune2012_2009")
    schedule = build.make_schedule(cfg)
    assert isinstance(schedule, StagedSchedule)
    log = {1: (1e-4, 1e-3), 2: (1e-4, 1e-3), 3: (1e-5, 1e-3), 4: (0, 1e-3), 22: (0, 1e-4), 42: (0, 1e-5), 52: (0, 1e-5)}
    for epoch, rates in log.items():
        weights, biases, noise = schedule.rates(epoch)
        assert (schedule.rate("conv1.weight", weights, biases), schedule.rate("fc8.weight", weights, biases)) == rates
        assert [schedule.rate(f"{layer}.bias", weights, biases) for layer in ("fc8", "conv6")] == [0.02, 0.002]
        assert noise == (0 if epoch >= 38 else None)
    assert cfg.trainer.max_epochs == 52
    assert cfg.transfer.pretrain_recipe == "fall2009_chain"
