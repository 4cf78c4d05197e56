"""What a user's recipe may set below `hydra`, and what not, in each way that Hydra would read it."""

import copy
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.config.recipes import no_resolvers
from alexnet_pl.errors import UserError

HOSTILE = "# @package _global_\nhydra: {job: {env_set: {A: b}}}\n"


def write_recipe(folder: Path, hydra: Any, *defaults: Any, **files: str) -> list[str]:
    """Words of a sweep of a recipe with files beside it: `x_evil` is x/evil.yaml."""
    text = {"defaults": ["demo", *defaults, "_self_"], "logger": "csv", "hydra": hydra}
    (folder / "mine.yaml").write_text(yaml.safe_dump(text))
    for name, content in files.items():
        path = folder / f"{name.replace('_', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return ["fit", "-m", "-c", str(folder / "mine.yaml")]


@pytest.mark.parametrize(
    "key", ["+hydra.job.env_set.A", "++hydra.job_logging", "hydra/job_logging", "~hydra.run", "~x"]
)
def test_recipe_does_not_sweep_over_hydras_settings(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=r"hydra\.sweeper\.params\..*: a recipe may sweep over its keys"):
        to_hydra(write_recipe(tmp_path, {"sweeper": {"params": {key: "none,default"}}}))


def test_swept_values_are_not_computed(tmp_path: Path) -> None:
    """Defaults would resolve `${logger}` among choices of files, and the sweeper among the config's values."""
    files = {"x_a": "{}\n", "x_csv": HOSTILE, "logger_a": "# @package _global_\n{}\n"}
    params = {"x": "${logger}"}
    with pytest.raises(UserError, match=r"hydra\.sweeper\.params\.x=\$\{logger\}"):
        to_hydra(write_recipe(tmp_path, {"sweeper": {"params": params}}, {"logger": "a"}, {"x": "a"}, **files))


@pytest.mark.parametrize("value", ["hostile", "choice(hostile)"])
def test_file_of_a_sweep_with_one_value_is_checked(tmp_path: Path, value: str) -> None:
    recipe = write_recipe(tmp_path, {"sweeper": {"params": {"+x": value}}}, x_hostile=HOSTILE)
    with pytest.raises(UserError, match=r"it sets hydra\."):
        to_hydra(recipe)


def test_section_hydra_without_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="hydra: there is nothing below it; remove the line"):
        to_hydra(write_recipe(tmp_path, None))


@pytest.mark.parametrize("subdir", ["${hydra:job.num}", "${hydra.job.num}", "${now:%y-%j} ${seed}"])
def test_folders_of_jobs_may_have_their_number_and_time(tmp_path: Path, subdir: str) -> None:
    assert to_hydra(write_recipe(tmp_path, {"sweep": {"subdir": subdir}}))


@pytest.mark.parametrize("list_", ["task", "hydra"])
def test_recipe_adds_no_overrides_to_those_typed(tmp_path: Path, list_: str) -> None:
    """The sweeper gives them to each job."""
    with pytest.raises(UserError, match=r"it sets hydra\.overrides"):
        to_hydra(write_recipe(tmp_path, {"overrides": {list_: ["+hydra.job.env_set.A=b"]}}))


@pytest.mark.parametrize(
    "settings",
    [
        {"job": {"chdir": True}}, {"job": {"env_copy": ["HOME"]}}, {"job": {"name": "a\ndate"}}, {"verbose": True},
        {"output_subdir": "../.."}, {"sweep": {"dir": "a\ndate #"}},
        {"sweep": {"dir": "${now:%n}"}}, {"sweep": {"dir": "x${wandb}"}},
        {"sweep": {"dir": "${oc.env:HOME}"}}, {"sweep": {"dir": "${wandb.entity}"}},
        {"sweep": {"dir": "x${probe.shots.0}"}},
    ],
)  # fmt: skip
def test_other_settings_are_refused(tmp_path: Path, settings: Any) -> None:
    words = write_recipe(tmp_path, settings)
    with (tmp_path / "mine.yaml").open("a", encoding="utf-8") as file:
        file.write('wandb: {entity: "a\\ndate #"}\n')
    with pytest.raises(UserError, match=r"it sets hydra\."):
        to_hydra(words)


@pytest.mark.parametrize(
    "settings",
    [
        {"comment": "x\ndate #"}, {"partition": "${wandb.project}"}, {"submitit_folder": "/x"}, {"name": "x\rdate"},
        {"additional_parameters": {"nice\ndate #": "1"}}, {"additional_parameters": {"export": "PATH=."}},
        {"additional_parameters": {"mail-user": "a\ndate"}},
    ],
)  # fmt: skip
def test_launcher_gets_plain_words_for_its_script(tmp_path: Path, settings: dict[str, Any]) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher (extra `sweep`)")
    words = write_recipe(tmp_path, {"launcher": settings}, {"override hydra/launcher": "submitit_slurm"})
    with pytest.raises(UserError, match=r"it sets hydra\.launcher\."):
        to_hydra([*words, "seed=1,2"])


PLUGINS = {
    "launcher": ("joblib", {"pre_dispatch": "2"}),
    "sweeper": ("optuna", {"storage": None, "sampler": {"seed": 1}}),
}


@pytest.mark.parametrize(
    ("section", "setting", "named"),
    [
        ("launcher", {"pre_dispatch": "print(1)"}, "pre_dispatch"), ("launcher", "${wandb}", ""),
        ("sweeper", {"storage": "sqlite:///x"}, "storage"), ("sweeper", {"sampler": {"seed": 2}}, None),
        ("sweeper", {"sampler": {"seed": "x"}}, "sampler.seed"), ("sweeper", "${wandb}", ""),
    ],
)  # fmt: skip
def test_settings_of_other_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, setting: Any, named: str | None
) -> None:
    """Of joblib, which computes `pre_dispatch`, and Optuna, whether they are installed or not."""
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", copy.deepcopy(store.repo))
    name, node = PLUGINS[section]
    store.store(name, node, f"hydra/{section}", provider="test")
    words = write_recipe(tmp_path, {section: setting}, {f"override hydra/{section}": name})
    if named is None:
        assert to_hydra(words)
    else:
        with pytest.raises(UserError, match=rf"it sets hydra\.{section}.*{named}"):
            to_hydra(words)


def test_recipe_chooses_known_plugins(tmp_path: Path) -> None:
    for kind in ("launcher", "sweeper"):
        (tmp_path / f"more/hydra/{kind}").mkdir(parents=True)
        (tmp_path / f"more/hydra/{kind}/other.yaml").write_text("{}\n")
        words = write_recipe(tmp_path, {}, {f"override hydra/{kind}": "other"})
        with pytest.raises(UserError, match=rf"hydra/{kind}=other: a recipe may choose basic, "):
            to_hydra([*words, "seed=1,2", f"hydra.searchpath=[file://{tmp_path}/more]"])


@pytest.mark.parametrize(
    ("settings", "defaults"),
    [
        ({"run": {"dir": "out/${now:%Y-%m-%d}/${seed}"}, "sweep": {"dir": "/fast/${data.name}"}}, []),
        ({"sweep": {"subdir": "${hydra.job.num}"}, "job": {"chdir": False, "name": "alexnet"}}, []),
        ({"sweeper": {"max_batch_size": 2, "params": {"seed": "range(3)", "optim.lr": "choice(0.1,0.2)"}}}, []),
        ({"launcher": {"timeout_min": 3, "partition": "gpu", "comment": "two words", "gres": "gpu:a100:2",
                       "additional_parameters": {"mail-user": "a@b.org"}}},
         [{"override hydra/launcher": "submitit_slurm"}]),
    ],
)  # fmt: skip
def test_usual_settings_are_accepted(tmp_path: Path, settings: Any, defaults: list[Any]) -> None:
    if defaults:
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher (extra `sweep`)")
    words = write_recipe(tmp_path, settings, *defaults)
    assert to_hydra([*words, "wandb.project=a"])[-2] == "wandb.project=a"


def test_recipe_names_no_other_file(tmp_path: Path) -> None:
    """Hydra reads mine.yaml for the name `mine.yaml`, also where mine.yaml.yaml was checked."""
    write_recipe(tmp_path, {"job": {"env_set": {"A": "b"}}})
    for name in ("mine.yaml.yaml", "mine\ndate #.yaml"):
        (tmp_path / name).write_text("defaults: [demo, _self_]\n")
        with pytest.raises(UserError, match="not a name for a recipe"):
            to_hydra(["fit", "-c", str(tmp_path / name)])


def test_folders_to_search_are_not_computed(tmp_path: Path) -> None:
    """Hydra reads them from the file alone, before it places its keys."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("# @package foo\ndefaults: [demo, _self_]\na: {searchpath: ['file:///x']}\nhydra: ${a}\n")
    with pytest.raises(UserError, match=r"hydra\.searchpath: not allowed"):
        to_hydra(["fit", "-c", str(recipe)])


def test_resolvers_are_hidden_from_the_checking_thread_alone() -> None:
    found: list[Any] = []

    def resolve() -> None:
        OmegaConf.register_new_resolver("of_another_thread", lambda: 3, replace=True)
        found.append(OmegaConf.create({"a": "${of_another_thread:}"}).a)

    with no_resolvers():
        other = threading.Thread(target=resolve)
        other.start()
        other.join()
        assert not OmegaConf.has_resolver("of_another_thread")
    assert found == [3]
    assert OmegaConf.has_resolver("of_another_thread")
