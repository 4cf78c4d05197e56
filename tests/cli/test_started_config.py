"""A command's config becomes the run folder's own only when the command trains there."""

import shutil
from pathlib import Path

import pytest
import yaml
from command_line import alexnet_pl
from omegaconf import OmegaConf
from processes import start_command

from alexnet_pl.errors import UserError
from alexnet_pl.inference.training_commands import training_commands
from alexnet_pl.runs.started_config import (
    STARTED,
    adopt_started_config,
    drop_started_config,
    hold_started_config,
    write_resolved_values,
)

CONFIG = ".hydra/config.yaml"


@pytest.fixture
def copied_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A finished run of two epochs, in a folder of its own."""
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def type_command(words: list[str], folder: Path) -> tuple[int | None, str]:
    """Exit code and output of `python -m alexnet_pl WORDS`, typed in `folder`."""
    log = folder / "log.txt"
    log.unlink(missing_ok=True)
    process = start_command(words, log)
    process.join()
    return process.exitcode, log.read_text()


def read(run: Path) -> dict:
    return yaml.safe_load((run / CONFIG).read_text())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["fit", "-c", "imagenette", "hydra.run.dir=run"], "holds a run of 12 steps; continue it with"),
        (["fit", "run", "ckpt_path=auto"], "optim.lr: "),
        (["reproduce", "-c", "run"], "optim.lr: "),
    ],
)
def test_refused_fit_leaves_the_config_as_it_was(
    words: list[str], reason: str, copied_run: Path, tiny: list[str]
) -> None:
    before = (copied_run / CONFIG).read_bytes()
    given = tiny if "-c" in words and "imagenette" in words else []
    code, text = type_command([*words, *given, "optim.lr=0.5"], copied_run.parent)
    assert (code, text.startswith("alexnet_pl: ")) == (2, True), text
    assert reason in text
    assert (copied_run / CONFIG).read_bytes() == before
    assert not (copied_run / ".hydra/started").exists()


def test_config_follows_a_fit_that_continues_the_run(copied_run: Path) -> None:
    assert read(copied_run)["trainer"]["max_epochs"] == 2
    code, text = type_command(["fit", "run", "ckpt_path=auto", "trainer.max_epochs=3"], copied_run.parent)
    assert code == 0, text
    assert read(copied_run)["trainer"]["max_epochs"] == 3
    names = {path.name for path in (copied_run / ".hydra").iterdir()}  # `features` of another test has a folder there
    assert names - {"features"} == {"config.yaml", "hydra.yaml", "overrides.yaml"}


def test_config_and_command_follow_a_fit_of_the_run_folder(copied_run: Path) -> None:
    """`fit RUN key=value` continues as it was typed, and the model card has the first command with the new key."""
    hydra = copied_run / ".hydra"
    (hydra / "hydra.yaml").write_text("hydra: {job: {config_name: imagenette}}")
    (hydra / "overrides.yaml").write_text("[++command=fit, trainer.max_epochs=2, ckpt_path=/a, optim.lr=0.001]")
    code, text = type_command(["fit", "run", "trainer.max_epochs=3"], copied_run.parent)
    assert code == 0, text
    found = read(copied_run)
    assert (found["trainer"]["max_epochs"], found["ckpt_path"]) == (3, None)
    names = {path.name for path in hydra.iterdir()} - {"features"}
    assert names == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    reproduce = training_commands(copied_run, None)[-1]
    assert "-c imagenette optim.lr=0.001 trainer.max_epochs=3 " in reproduce
    assert yaml.safe_load((hydra / "overrides.yaml").read_text())[:2] == ["optim.lr=0.001", "++trainer.max_epochs=3"]
    before = (copied_run / "fit.json").read_bytes()
    code, text = type_command(["fit", "run"], copied_run.parent)
    assert (code, "training already finished (3 epochs, 18 steps)" in text) == (0, True), text
    assert (copied_run / "fit.json").read_bytes() == before
    code, text = type_command(["fit", "run", "trainer.max_epochs=1"], copied_run.parent)
    assert (code, "trainer.max_epochs=1: the resumed run is in epoch 3" in text) == (2, True), text
    assert (read(copied_run), (copied_run / "fit.json").read_bytes()) == (found, before)


def test_session_that_fails_before_its_checkpoint_leaves_the_run_as_it_was(copied_run: Path) -> None:
    names = ("fit.json", CONFIG, "checkpoints/last.ckpt")
    before = {name: (copied_run / name).read_bytes() for name in names}
    code, text = type_command(["fit", "run", "trainer.max_epochs=4", "optim.lr=1e30"], copied_run.parent)
    assert (code, "resumed with other settings than before: optim.lr" in text) == (2, True), text
    assert {name: (copied_run / name).read_bytes() for name in names} == before


def test_command_of_a_job_composed_from_a_run_is_not_known(tmp_path: Path) -> None:
    """There is no recipe `config`."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra/hydra.yaml").write_text("hydra: {job: {config_name: config}}")
    (tmp_path / ".hydra/overrides.yaml").write_text("[optim.lr=0.001]")
    assert training_commands(tmp_path, None) == ["python -m alexnet_pl reproduce -c RUN"]


def test_second_command_leaves_the_config_of_the_running_one(tmp_path: Path) -> None:
    """It writes its own before it is refused by the folder's lock."""

    def start(seed: int) -> None:
        (tmp_path / STARTED).mkdir(parents=True)
        (tmp_path / STARTED / "config.yaml").write_text(f"seed: {seed}")

    start(1)
    with hold_started_config(tmp_path):
        start(2)
        drop_started_config(tmp_path, STARTED)
        adopt_started_config(tmp_path)
        assert read(tmp_path) == {"seed": 1}
    start(3)
    with hold_started_config(tmp_path):
        pass
    assert [path.name for path in (tmp_path / ".hydra").iterdir()] == ["config.yaml"]
    assert read(tmp_path) == {"seed": 1}


def test_failed_fit_removes_no_folder_that_was_there(copied_run: Path, tmp_path: Path) -> None:
    for path in copied_run.iterdir():
        if path.name != ".hydra":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    store = ["data.name=x", f"data.root={tmp_path / 'nowhere'}"]
    code, text = type_command(["fit", "run", "ckpt_path=auto", *store], tmp_path)
    assert (code, "nowhere" in text) == (2, True), text
    assert read(copied_run)["data"]["name"] == "tiny"
    code, _ = type_command(["fit", "-c", "imagenette", *store, "hydra.run.dir=runs/a/b"], tmp_path)
    assert (code, (tmp_path / "runs").exists()) == (2, False)


def test_jobs_of_a_sweep_may_use_their_number(tiny: list[str], tmp_path: Path) -> None:
    """docs/how-to/sweeps.md gives each job a GPU with trainer.devices=[${hydra:job.num}]."""
    words = ["trainer.log_every_n_steps=${hydra:job.num}", "+trainer.limit_train_batches=1", "trainer.max_epochs=1"]
    sweep = ["fit", "-m", "-c", "imagenette", *tiny, *words, "seed=1,2", "hydra.sweep.dir=sweep"]
    code, text = type_command(sweep, tmp_path)
    assert code == 0, text
    jobs = sorted((tmp_path / "sweep").glob("*seed*"))
    assert [read(job)["trainer"]["log_every_n_steps"] for job in jobs] == [0, 1]


def test_other_command_leaves_the_config_of_a_fit_that_starts(copied_run: Path) -> None:
    started = copied_run / STARTED
    started.mkdir()
    code, text = type_command(["test", "run"], copied_run.parent)
    assert (code, started.is_dir()) == (0, True), text


def test_environment_variables_are_saved_as_their_values(tiny: list[str], tmp_path: Path) -> None:
    """Another command has other variables, and those of a run folder's config are not read."""
    (root,) = (word.partition("=")[2] for word in tiny if word.startswith("data.root="))
    words = [*tiny, "data.root=${oc.env:STORE}", "data.batch_size=${oc.env:SIXTEEN}", "optim.lr='0.001'"]
    words += ["+trainer.limit_train_batches=1", "trainer.max_epochs=1", "hydra.run.dir=run"]
    fit = alexnet_pl("fit", "-c", "imagenette", *words, cwd=tmp_path, SIXTEEN="16", STORE=root)
    assert fit.returncode == 0, fit.stderr
    found = read(tmp_path / "run")
    assert (found["data"]["root"], found["data"]["batch_size"], found["optim"]["lr"]) == (root, 16, 0.001)
    code, text = type_command(["validate", "run"], tmp_path)
    assert code == 0, text


def test_key_of_another_schedule_is_refused(tiny: list[str], tmp_path: Path) -> None:
    typed = ["schedule.name=plateau", "schedule.steps.drops=[2]"]
    code, text = type_command(["fit", "-c", "imagenette", *tiny, *typed, "hydra.run.dir=run"], tmp_path)
    assert (code, "schedule.name=plateau does not read it; add schedule.name=steps" in text) == (2, True), text


def test_number_in_quotes_is_a_number(tiny: list[str], tmp_path: Path) -> None:
    """Lightning started as many processes as the text says, each of which trained as if it were the only one."""
    words = ["trainer.devices='999'", "trainer.accelerator=cpu", "hydra.run.dir=run"]
    code, text = type_command(["fit", "-c", "imagenette", *tiny, *words], tmp_path)
    assert (code, "trainer.devices=999: this machine has" in text) == (2, True), text


def test_sweep_over_the_tests_of_a_run(copied_run: Path, tmp_path: Path) -> None:
    """They are saved in the run folder, as single tests are; the config lies in .hydra/test, not in .hydra/started."""
    words = ["test", "run", "-m", "test.views=ten,center"]
    code, text = type_command(words, tmp_path)
    assert code == 0, text
    assert "Traceback" not in text
    assert {path.name for path in (copied_run / "results").iterdir()} >= {"val-ten", "val-center"}


def test_secret_in_a_variable_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {root: '${oc.env:STORE}'}\n")
    with pytest.raises(UserError, match=r"^data.root: a URL with a password or token"):
        write_resolved_values(path, OmegaConf.create({"data": {"root": "https://a.org/store?token=abc"}}))
    assert "abc" not in path.read_text()


def test_variable_that_contains_an_interpolation_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data: {root: '${oc.env:STORE}'}\n")
    write_resolved_values(path, OmegaConf.create({"data": {"root": "\\${oc.env:HOME}"}}))
    assert path.read_text() == "data: {root: '${oc.env:STORE}'}\n"
