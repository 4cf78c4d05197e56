"""Documentation: commands parse, generated pages are fresh, links resolve, snippets run."""

import ast
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from made_results import proxy_test, write_test
from omegaconf import OmegaConf
from pages.config_keys import OTHER_SECTIONS
from pages.evidence import with_effects
from reference import pages as generated_pages

from alexnet_pl.cli.argv import to_hydra
from alexnet_pl.commands import run_options
from alexnet_pl.commands.registry import COMMANDS
from alexnet_pl.config import checks
from alexnet_pl.config.overrides import is_override
from alexnet_pl.config.recipes import SHIPPED
from alexnet_pl.models.networks import NETS
from alexnet_pl.paper.box_claims import BOX_CLAIMS
from alexnet_pl.paper.claim import OVERFEAT
from alexnet_pl.paper.claims import CLAIMS
from alexnet_pl.paper.deviations import measure_deviations
from alexnet_pl.paper.results import collect_tests
from alexnet_pl.paper.rows import reproduce_command
from alexnet_pl.training.classifier import Classifier

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LOG = ROOT / "docs/development/log.md"  # keeps old names
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if page != LOG)]
RUNS = (
    "folder",
    "demo",
    "imagenette",
    "finetune",
    "ilsvrc2012",
    "fall2011",
    "cifar10",
    "cifar10_13pct",
    "cifar10_11pct",
    "codes",
    "overfeat_demo",
    "overfeat_fast",
    "overfeat_accurate",
    "overfeat_localise",
    "overfeat_detect",
    "boxes_demo",
    "boxes_demo_classifier",
    "boxes_demo_localise",
)


def shell_lines(page: Path) -> list[str]:
    """Lines of ```bash blocks and of blocks indented by four spaces."""
    text = page.read_text().replace("\\\n", " ")
    fenced = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?<=\n\n)((?:    .*\n)+)", outside)
    return [line.strip() for block in [*fenced, *indented] for line in block.splitlines() if line.strip()]


LINES = [(page, line) for page in PAGES for line in shell_lines(page)]
TYPED = {
    line.removeprefix("python -m alexnet_pl "): page for page, line in LINES if line.startswith("python -m alexnet_pl ")
}
TYPED = {command: page for command, page in TYPED.items() if not re.search(r"\b(COMMAND|RUN|RECIPE|FOLDER)\b", command)}


@pytest.fixture(scope="module")
def working_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders and recipe that the commands name, created once for all commands."""
    folder = tmp_path_factory.mktemp("commands")
    for recipe in RUNS:
        run = folder / "runs" / recipe / "latest"
        (run / "checkpoints").mkdir(parents=True)
        for name in ("last", "best"):
            (run / f"checkpoints/{name}.ckpt").touch()
        (run / ".hydra").mkdir()
        with initialize_config_dir(str(SHIPPED), version_base="1.3"):
            OmegaConf.save(compose(recipe), run / ".hydra/config.yaml")
    shutil.copytree(folder / "runs/ilsvrc2012/latest", folder / "runs/caffe")  # as if made by `import`
    (recipe,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/how-to/own-images.md").read_text(), re.M | re.S)
    (folder / "photos.yaml").write_text(recipe)
    return folder


@pytest.fixture
def _runs(working_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(working_folder)


@pytest.mark.usefixtures("_runs")
@pytest.mark.parametrize("command", TYPED)
def test_every_command_composes_without_an_unknown_key(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "completion":
        assert words[1] in ("bash", "zsh", "fish")
        return
    if COMMANDS[words[0]].takes == "runs":
        _, given = run_options.split_words(words[0], words[1:])
        options = COMMANDS[words[0]].options
        assert options
        run_options.read_options(given, options)
        return
    words = to_hydra(words)
    path, name = (word.split("=", 1)[1] for word in words[:2])
    keys = [word for word in words[3:] if is_override(word) and not word.startswith(("hydra.", "hydra/"))]
    sweep = {"-m"} & set(words)
    single = [word.split(",")[0] if sweep else word for word in keys]  # Hydra's sweeper splits these lists
    single = [word for word in single if "${hydra:" not in word]  # only defined in a job of a sweep
    with initialize_config_dir(path, version_base="1.3"):
        checks.check_config(compose(name, [f"hydra.searchpath=[file://{SHIPPED}]", *single]))


def test_shell_blocks_use_only_known_programs() -> None:
    known = ("python -m alexnet_pl ", "pip install ", "make", "sbatch ", "python scripts/", ".venv/bin/", "scripts/")
    known += (
        "docker ",
        "conda env create",
        "conda activate ",
        "python3 -m venv .venv",
        "uv pip install ",
        "torchrun --n",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun --n",
        "aws s3 sync ",
        "curl --data-binary @",
        "wandb sweep ",
        "wandb sync ",
        "tensorboard --logdir ",
        "wandb agent ",
        "PYTHONPATH=",
        "ARCHIVE=",
    )
    assert not [(page.name, line) for page, line in LINES if not line.startswith(known)]


def test_brackets_in_shell_blocks_are_quoted() -> None:
    """zsh takes [1,4] for a pattern and refuses a command without a file of such a name."""
    bare = [(page.name, line) for page, line in LINES if "=[" in re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", line)]
    assert not bare


def test_commands_of_the_reports_are_quoted_for_a_shell() -> None:
    claims = [claim for claim in CLAIMS if claim.recipe]
    commands = [*map(reproduce_command, claims), *(claim.command for claim in BOX_CLAIMS)]
    assert any("[" in command for command in commands)
    script = "\n".join(f"printf '%s ' {command}; echo" for command in commands)
    done = subprocess.run(["bash", "-O", "failglob", "-c", script], capture_output=True, text=True, check=True)
    given = [line.split() for line in done.stdout.splitlines()]
    assert given == [shlex.split(command) for command in commands], done.stderr


def test_make_targets_in_shell_blocks_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = {line.split()[1] for _, line in LINES if line.startswith("make ")}
    assert typed
    assert typed <= targets


def test_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        name
        for page in PAGES
        for names in re.findall(r"(?:alexnet_pl|-e \.)\[([a-z,]+)\]", page.read_text())
        for name in names.split(",")
    }
    assert named
    assert named <= set(extras)


def test_readme_and_site_use_every_command() -> None:
    assert {command.split()[0] for command in TYPED} == {*COMMANDS, "completion"}


def test_sizes_of_checkpoints_are_those_of_the_paper_s_network() -> None:
    """4 bytes a weight, with its velocity 8, and the mean image; 60,965,224 weights are counted in another test."""
    weights, mean = 4 * 60_965_224, 4 * 3 * 256 * 256
    best, last = (round((size + mean) / 1e6) for size in (weights, 2 * weights))
    assert f"network {last}, {last} and {best} MB" in (ROOT / "docs/reference/files.md").read_text()
    together = f"{(2 * last + best) / 1e3:.1f} GB of checkpoints"
    assert together in README.read_text()
    assert together in (ROOT / "docs/how-to/sweeps.md").read_text()


def test_results_list_every_number_of_overfeat_that_a_recipe_measures() -> None:
    """With the mark of those that nobody compared with the paper."""
    page = (ROOT / "docs/results.md").read_text().partition("## OverFeat")[2].partition("## ")[0]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines() if line.startswith("| ")}
    claims = {claim.label: claim for claim in CLAIMS if claim.paper == OVERFEAT and claim.recipe}
    assert claims.keys() == rows.keys() - {"network", "---"}
    assert all(("†" in rows[label]) == (not claim.verified) for label, claim in claims.items())
    assert "| 35.60 / 14.71 † | not yet measured |" in rows["1 accurate, ten crops"]
    assert "| about 145,000,000 | 145,920,872 |" in rows["parameters, fast"]


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_readme_map_lists_exactly_the_packages() -> None:
    code = README.read_text().split("## Map of the code")[1].split("\n## ")[0]
    named = {name for cell in re.findall(r"^\| ([^|]*)\|", code, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)}
    assert named == {path.parent.name for path in (ROOT / "alexnet_pl").glob("*/__init__.py")}


def test_links_and_images_exist() -> None:
    missing = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|srcset)="([^"]+)"', text)]
        local = [
            link.split("#")[0] for link in links if "://" not in link and not link.startswith(("#", "../../actions"))
        ]
        missing += [(page.name, link) for link in local if not (page.parent / link).exists()]
    assert not missing


def test_generated_pages_are_fresh() -> None:
    stale = [path.name for path, text in generated_pages().items() if path.read_text() != text]
    assert not stale, "run make reference"


def test_reference_has_every_command_recipe_and_key() -> None:
    pages = {path.stem: text for path, text in generated_pages().items()}
    assert set(re.findall(r"^## (\w+)$", pages["commands"], re.MULTILINE)) == set(COMMANDS)
    assert set(re.findall(r"^## (\w+)$", pages["recipes"], re.MULTILINE)) == {
        p.stem for p in SHIPPED.glob("[!_]*.yaml")
    }
    with initialize_config_dir(str(SHIPPED), version_base="1.3"):
        config = compose("ilsvrc2012")
        others = [compose("codes"), compose("overfeat_localise"), compose("overfeat_fast")]
    named = {word for cell in re.findall(r"^\| `([\w.]+)` \|", pages["config"], re.MULTILINE) for word in [cell]}
    keys = {f"{name}.{key}" for name, part in config.items() if OmegaConf.is_dict(part) for key in part}
    keys |= {str(name) for name, part in config.items() if not OmegaConf.is_dict(part)}
    tasks = {f"{name}.{key}" for other in others for name in OTHER_SECTIONS for key in other.get(name, {})}
    assert keys | tasks <= named
    assert {f"model.{key}" for key in others[2].model} <= named
    assert {*parameters("model", *NETS.values()), *parameters("optim", Classifier)} <= named
    known = ("schedule", "augment", "model", "optim")
    assert not {name for name in named - keys - tasks if name.split(".")[0] not in known}


def parameters(section: str, *classes: type) -> set[str]:
    """Keys of a section: what the constructors take, without what other sections give them."""
    given = ("crop", "net", "augment", "architecture", "views", "dense", "performance")
    names = {name for made in classes for name in inspect.signature(made).parameters}
    return {f"{section}.{name}" for name in names - set(given)}


def test_measured_effect_is_written_only_in_its_row_of_deviations(tmp_path: Path) -> None:
    for seed, (program, norm) in enumerate([(30.0, 31.0), (30.5, 31.6), (29.0, 30.0)]):
        write_test(tmp_path, f"cnn{seed}", proxy_test("table2.cnn"), program)
        third = proxy_test("table2.cnn")
        third["training"]["model"] = {**third["training"]["model"], "spatial_norm": False}
        write_test(tmp_path, f"third{seed}", third, norm)
    page = (ROOT / "docs/deviations.md").read_text()
    before = with_effects(page, []).splitlines()
    assert not re.search(r"points on .*measured\.md", "\n".join(before)), "cells of runs that are gone"
    after = with_effects("\n".join(before), measure_deviations(collect_tests([tmp_path]))).splitlines()
    ((old, new),) = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert "`model.spatial_norm`" in old
    assert "+1.03 (+0.89 to +1.18) points on imagenette, 3 runs: higher error than the program's" in new
    assert old.rsplit(" | ", 1)[0] == new.rsplit(" | ", 1)[0]


def test_every_variant_setting_has_a_row_in_the_table_of_deviations() -> None:
    text = (ROOT / "docs/deviations.md").read_text()
    as_run, as_printed = (OmegaConf.load(SHIPPED / f"variant/{name}.yaml") for name in ("as_run", "as_printed"))
    switches = [
        f"{name}.{key}"
        for name in ("model", "augment", "optim")
        for key in as_run[name]
        if as_run[name][key] != as_printed[name][key]
    ]
    assert len(switches) == 11
    switches += [
        f"schedule.{name}.{key}"
        for name in as_run.schedule
        for key in as_run.schedule[name]
        if as_run.schedule[name][key] != as_printed.schedule[name][key]
    ]
    assert len(switches) == 15
    assert not [switch for switch in switches if f"`{switch}`" not in text]


@pytest.mark.parametrize("page", ["README.md", "docs/reference/python.md"])
def test_python_snippets_run(page: str, tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert "runs/demo/latest" in code
    code = code.replace("runs/demo/latest", str(tiny_run)).replace("[0, 500]", "[0, 1]")
    exec(compile(ast.parse(code), page, "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Each page is in the navigation, and each link and anchor resolves: with strict, these are errors."""
    pytest.importorskip("mkdocs")
    words = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/index.html").read_text()
    fetched = re.findall(r'<(?:script|img|source)[^>]*src(?:set)?="(https?:[^"]+)"', page)
    fetched += re.findall(r'<link rel="(?:stylesheet|preconnect|icon)"[^>]*href="(https?:[^"]+)"', page)
    assert not fetched, "the site must not fetch anything from elsewhere"
    assert not (tmp_path / "site/data").exists(), "records of runs"
    index = json.loads((tmp_path / "site/search/search_index.json").read_text())
    boosts = {
        part["location"].partition("/")[0]: part.get("boost", 1) for part in index["docs"] if "/" in part["location"]
    }
    assert boosts["how-to"] > boosts["tutorials"] > boosts["reference"] > 1 > boosts["development"]
    assert "data.root" in re.split(index["config"]["separator"], "data.root=/fast/imagenette")


def test_no_file_names_a_registry_or_a_machine() -> None:
    pattern = re.compile(r"https?://[^ \"]+/(simple|packages/[0-9a-f]{2})|/(work|root|home)/[a-z]")
    named = ("*.md", "*.toml", "*.yml", "alexnet_pl/**/*.py", "docs/**/*.md", "scripts/**/*.*", "requirements.lock.txt")
    for path in [path for name in named for path in ROOT.glob(name) if path.suffix != ".pyc"]:
        assert not pattern.search(path.read_text()), path
