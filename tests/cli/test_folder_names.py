"""Names of run folders and of the jobs of a sweep."""

import re

import pytest
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.cli.folder_names import folder_name, job_folder
from alexnet_pl.config.identity import HARDWARE
from alexnet_pl.config.overrides import allow_new_key


def folder_of(words: list[str]) -> list[str]:
    return [word for word in to_hydra(words) if word.startswith(("hydra.run.dir", "hydra.sweep"))]


def test_reproduce_uses_a_stable_folder_per_network() -> None:
    """Its name depends on the settings that decide the network, not on the location of images or the test options."""
    words = ["reproduce", "-c", "ilsvrc2010", "model.norm=false", "seed=3"]
    wanted = ["hydra.run.dir='runs/ilsvrc2010/reproduce/model.norm-false_seed-3'"]
    assert folder_of(words) == folder_of([*words[:3], "seed=3", "model.norm=false"]) == wanted
    assert (
        folder_of([*words, "data.root=/a", "test.views=center", "transfer.data_roots.fall2011=/b", "logger=csv"])
        == wanted
    )
    assert folder_of(["ensemble", "-c", "ensemble_5cnns", "data.root=/a"]) == [
        "hydra.run.dir='runs/ensemble_5cnns/ensemble/as-shipped'"
    ]
    assert folder_of([*words, "hydra.run.dir=mine"]) == ["hydra.run.dir='mine'"]
    on_gpus = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=5", "trainer.devices=[${hydra:job.num}]"]
    assert folder_of(["ensemble", "-c", "ensemble_5cnns", *on_gpus]) == [
        "hydra.run.dir='runs/ensemble_5cnns/ensemble/as-shipped'"
    ]
    assert folder_of([*words, *(f"trainer.{key}=1" for key in HARDWARE), "+trainer.benchmark=true"]) == wanted
    assert folder_of(["reproduce", "-m", "-c", "demo", "seed=1,2", "hydra.sweep.subdir=x"]) == ["hydra.sweep.subdir=x"]
    assert folder_of(["reproduce", "-m", "-c", "demo", "seed=1,2"]) == ["hydra.sweep.dir='runs/demo/reproduce'"]
    long = folder_of([*words, *(f"augment.noise={i}" for i in range(40))])
    assert len(long[0]) < 160
    assert long != folder_of([*words, *(f"augment.noise={i}" for i in range(41))])


def job_folders(*words: str) -> list[str]:
    """Folders of the jobs into which Hydra's sweeper splits a command."""
    path, name, _, *overrides = (word for word in to_hydra(list(words)) if word != "-m")
    with initialize_config_dir(path.partition("=")[2], version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        name = name.partition("=")[2]
        master = loader.load_configuration(name, overrides, run_mode=RunMode.MULTIRUN)
        parsed = OverridesParser.create().parse_overrides(list(master.hydra.overrides.task))
        (jobs,) = BasicSweeper.split_arguments(parsed, None)
        configs = [loader.load_sweep_config(master, job) for job in jobs]
    for number, config in enumerate(configs):
        OmegaConf.update(config, "hydra.job.num", number)
    return [OmegaConf.select(config, "hydra.sweep.subdir") for config in configs]


def test_folders_of_jobs_are_named_by_swept_keys() -> None:
    fixed = ("optim.lr=0.02", "model.dropout=0.1", "trainer.max_steps=5", "data.root=/a/b")
    assert job_folders("fit", "-m", "-c", "demo", *fixed, "seed=1,2") == ["0-seed-1", "1-seed-2"]
    swept = ("model.width=0.1,0.2", "variant=as_run,as_printed", "test.scales=[1,2],[1]")
    assert job_folders("fit", "-m", "-c", "demo", *fixed, *swept)[:3] == [
        "0-model.width-0.1_test.scales-_1_2__variant-as_run",
        "1-model.width-0.1_test.scales-_1__variant-as_run",
        "2-model.width-0.1_test.scales-_1_2__variant-as_printed",
    ]
    assert job_folders("fit", "-m", "-c", "demo", *fixed) == ["0"]


def test_reproduced_jobs_have_the_folders_of_single_runs() -> None:
    fixed = ("model.width=0.5", "trainer.max_steps=5", "trainer.devices=1", "data.root=/a/b", "wandb.project=x")
    singles = [folder_of(["reproduce", "-c", "demo", *fixed, f"seed={seed}"])[0] for seed in (1, 2)]
    jobs = job_folders("reproduce", "-m", "-c", "demo", *fixed, "seed=1,2")
    assert singles == [f"hydra.run.dir='runs/demo/reproduce/{job}'" for job in jobs]
    assert jobs == [f"model.width-0.5_seed-{seed}_trainer.max_steps-5" for seed in (1, 2)]


@pytest.mark.parametrize(
    "swept",
    [
        "performance.optimized=true,false", "trainer.precision=32-true,bf16-mixed", "data.root=/a,/b",
        "test.views=center,ten",
    ],
)  # fmt: skip
def test_reproduced_jobs_never_share_a_folder(swept: str) -> None:
    """The second job would resume the first, or find it tested already."""
    fixed = ("trainer.devices=1", "wandb.project=x", "prepare.workers=1")
    key, _, values = swept.partition("=")
    names = [f"{key}-{value.replace('/', '_')}" for value in values.split(",")]
    assert job_folders("reproduce", "-m", "-c", "demo", *fixed, swept) == names


@pytest.mark.parametrize(
    ("swept", "folders"),
    [
        ("data.root=/a/b,/a_b,/c", ["data.root-_a_b-{}", "data.root-_a_b-{}", "data.root-_c"]),
        ("transfer.weights=/a/b,/a@b,/a c", ["transfer.weights-_a_b-{}"] * 2 + ["transfer.weights-_a_c"]),
        ("transfer.weights='/a=b','/a-b'", ["transfer.weights-__a-b_-{}"] * 2),
        ("transfer.layers=[conv1],[conv2]", ["transfer.layers-_conv1_", "transfer.layers-_conv2_"]),
        (f"transfer.weights=/{'x' * 120}/b,/{'x' * 120}_b", [f"transfer.weights-_{'x' * 72}-{{}}-{{}}"] * 2),
        ("seed=range(1,3)", ["seed-1", "seed-2"]),
    ],
)
def test_jobs_whose_values_look_alike_in_a_name_get_a_digest(swept: str, folders: list[str]) -> None:
    """Names that were distinct stay, so that a sweep which was interrupted is resumed."""
    names = job_folders("reproduce", "-m", "-c", "demo", "trainer.devices=1", swept)
    for name, folder in zip(names, folders, strict=True):
        assert re.fullmatch(re.escape(folder).replace(r"\{\}", "[0-9a-f]{8}"), name)
    assert len(set(names)) == len(names)
    assert names == job_folders("reproduce", "-m", "-c", "demo", "trainer.devices=1", swept)


@pytest.mark.parametrize(
    "word",
    [
        "optim.lr=1e-2", "optim.lr=0.010", "schedule.steps.drops=[36, 42]", "model.norm=False",
        "+model.note={a: 1, b: x}", "~optim.lr=0.01",
        "transfer.weights=/a/b c", "transfer.weights='/a,b'", "model.note=a\\,b", "~monitor", "~optim.lr",
        "variant=as_run", "model.note=${seed}", "model.note=", "++model.note=007",
    ],
)  # fmt: skip
def test_reproduced_jobs_have_the_folders_of_single_runs_with_the_words_as_typed(word: str) -> None:
    """Hydra's sweeper writes every value anew: 1e-2 becomes 0.01."""
    to_jobs = [name for word in (word, "seed=1,2") for name in [allow_new_key(word, sweep=True)]]
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(to_jobs), None)
    names = [job_folder("reproduce", 0, job, [word.lstrip("+~").partition("=")[0]]) for job in jobs]
    assert names == [folder_name([word, f"seed={seed}"]) for seed in (1, 2)]


def test_folders_of_single_runs_keep_their_names() -> None:
    for word, name in {
        "optim.lr=0.02": "optim.lr-0.02",
        "model.norm=false": "model.norm-false",
        "transfer.weights=/a,b": "transfer.weights-_a_b",
        "transfer.weights=hf://a/b c": "transfer.weights-hf___a_b_c",
        "transfer.weights=/a=b(": "transfer.weights-_a-b_",
        "transfer.layers=conv1,conv2": "transfer.layers-conv1_conv2",
        "schedule.steps.drops=[36,42]": "schedule.steps.drops-_36_42_",
    }.items():
        assert folder_name([word]) == name
