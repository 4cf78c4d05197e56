"""Notebooks are stored without outputs and definitions, and run from the first cell to the last."""

import ast
import os
import re
import shutil
import tomllib
from contextlib import nullcontext
from pathlib import Path

import nbformat
import pytest
from bare_runs import make_checkpoint_file, make_run_folder
from box_runs import CPU, KEYS, make_classifier_run, make_scenes
from nbclient import NotebookClient

from alexnet_pl import run_command
from alexnet_pl.config.recipes import compose
from alexnet_pl.experiment.example_run import FOLDER
from alexnet_pl.runs.layout import latest_checkpoint, link_latest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COLAB = ROOT / "notebooks/colab.ipynb"  # installs the package, so it is not run
PICTURES = {"detection": 2, "filters": 3, "inside": 2, "overfeat": 3, "results": 3, "retrieval": 1}  # at least
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def plain(source: str) -> str:
    """Code without IPython's own syntax."""
    return "\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))


def test_notebooks_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    assert NOTEBOOKS
    assert not [path.name for path in NOTEBOOKS if path.name not in readme]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_outputs_and_no_definitions(path: Path) -> None:
    for cell in code(path):
        assert not cell.outputs
        assert cell.execution_count is None
        defined = [node for node in ast.walk(ast.parse(plain(cell.source))) if isinstance(node, DEFINITIONS)]
        assert not defined, cell.source
    assert "import alexnet_pl" in (text := "\n".join(cell.source for cell in code(path))) or "from alexnet_pl" in text


def tiny_detector(folder: Path) -> Path:
    """A detector trained on drawn scenes for two epochs."""
    store = make_scenes(folder / "scenes")
    where = (f"data.root={store.root}", f"transfer.weights={make_classifier_run(folder / 'classifier', store)}")
    keys = [word for word in KEYS if not word.startswith("boxes.windows")]  # of localisation alone
    run_command(["fit", "-c", "overfeat_detect", *where, *CPU, *keys, f"hydra.run.dir={folder / 'detector'}"])
    return folder / "detector"


def test_colab_notebook_installs_existing_extras_and_its_commands_compose() -> None:
    lines = [line for cell in code(COLAB) for line in cell.source.splitlines()]
    typed = [line.split(" -m alexnet_pl ")[1].split() for line in lines if line.startswith("!python -m alexnet_pl ")]
    assert [words[0] for words in typed] == ["reproduce", "figures"]
    recipe, overrides = typed[0][2], typed[0][3:]
    assert overrides == [f"hydra.run.dir={FOLDER}"], "the folder where the retrieval notebook looks for the demo"
    assert compose(recipe).data.name == "demo"
    (extras,) = re.findall(r'%pip install --quiet "./alexnet_pl\[(\w+)\]"', "\n".join(lines))
    assert extras in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (opened,) = [line.removeprefix("%run alexnet_pl/") for line in lines if line.startswith("%run ")]
    assert (ROOT / opened).is_file()


def test_codes_of_the_retrieval_notebook_are_no_run_of_the_network_s_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lay in runs/imagenette/latest-codes, which `test -c imagenette` then took for the newest network."""
    monkeypatch.chdir(tmp_path)
    run = make_run_folder(tmp_path / "runs/imagenette/a")
    make_checkpoint_file(run, "last", age=1)
    link_latest(run)
    commands: list[list[str]] = []
    names = {"RUN": "runs/imagenette/latest", "CODES": None, "ROOT": None}
    names |= {"example_run": Path, "run_command": commands.append}
    cells = [cell.source for cell in code(ROOT / "notebooks/retrieval.ipynb")]
    for source in (source for source in cells if "example_run(RUN)" in source or "run_command([" in source):
        exec(source, names)
    (where,) = (Path(word.partition("=")[2]) for word in commands[-1] if word.startswith("hydra.run.dir="))
    make_checkpoint_file(make_run_folder(where), "last", age=0)
    link_latest(where)
    assert latest_checkpoint(Path("runs/imagenette"), "last").is_relative_to(run / "checkpoints")
    assert Path("runs/imagenette/latest").resolve() == run
    assert f"codes.features={run}" in commands[-1], "not a link that a newer training moves"


class Shell:
    """Stands for IPython in a cell: records commands instead of running them; `git` makes the files of `clone`."""

    def __init__(self, folder: Path, clone: list[str]) -> None:
        self.folder, self.clone = folder, clone
        self.commands: list[str] = []

    def system(self, line: str) -> None:
        self.commands.append(line.split()[0])
        for name in self.clone:
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).touch()

    def run_line_magic(self, name: str, line: str) -> None:
        self.commands.append(name)


@pytest.mark.parametrize(
    ("address", "clone", "says", "commands"),
    [
        (None, [], "OWNER is a placeholder: set REPOSITORY to the address of your copy", []),
        ("https://example.org/mistyped", [], "https://example.org/mistyped was not cloned: set REPOSITORY", ["git"]),
        ("https://example.org/mine", ["alexnet_pl/pyproject.toml"], None, ["git", "pip", "env"]),
    ],
)
def test_colab_notebook_stops_at_a_wrong_address(
    address: str | None,
    clone: list[str],
    says: str | None,
    commands: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A notebook goes on after a command that fails, so that the first error would be an import many cells below."""
    from IPython.core.inputtransformer2 import TransformerManager

    monkeypatch.chdir(tmp_path)
    source = next(cell.source for cell in code(COLAB) if "REPOSITORY" in cell.source)
    source = (
        re.sub(r"^REPOSITORY = .*$", f'REPOSITORY = "{address}"', source, flags=re.MULTILINE) if address else source
    )
    shell = Shell(tmp_path, clone)
    with pytest.raises((ValueError, OSError), match=f"^{says}") if says else nullcontext():
        exec(TransformerManager().transform_cell(source), {"get_ipython": lambda: shell})
    assert shell.commands == commands


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path != COLAB], ids=lambda path: path.stem)
def test_notebook_runs_and_shows_images(
    path: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")  # a notebook adds features and codes to the run
    monkeypatch.setenv("ALEXNET_PL_RUN", str(run))
    if path.stem == "detection":
        monkeypatch.setenv("ALEXNET_PL_BOX_RUN", str(tiny_detector(tmp_path)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= PICTURES[path.stem]
    assert not [output for output in outputs if output.output_type == "error" or has_warnings(output)]


def has_warnings(output: nbformat.NotebookNode) -> bool:
    """Whether an output has lines on stderr that are not those of progress, which a slow machine prints."""
    return output.get("name") == "stderr" and not all(line.endswith(" …") for line in output.text.splitlines())
