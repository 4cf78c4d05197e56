"""Public names of `alexnet_pl`, imported lazily."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import alexnet_pl
from alexnet_pl.inference.weights import read_weights, write_safetensors

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("name", alexnet_pl.PUBLIC)
def test_public_name_resolves_and_is_cached(name: str) -> None:
    value = getattr(alexnet_pl, name)
    assert callable(value)
    assert value.__doc__
    assert vars(alexnet_pl)[name] is value
    assert name in dir(alexnet_pl)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = alexnet_pl.no_such_name


def test_import_loads_neither_torch_nor_lightning() -> None:
    code = "import sys, alexnet_pl; sys.exit(bool({'torch', 'lightning', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_networks_are_opened_without_prepare_and_without_changing_the_process() -> None:
    """A program that classifies images keeps its warnings and its forkserver, and imports no reader of ImageNet."""
    code = """
import sys, warnings
from multiprocessing.forkserver import _forkserver
import alexnet_pl
alexnet_pl.load, alexnet_pl.open_run
print([name for name in sys.modules if name.startswith(("alexnet_pl.data.prepare", "alexnet_pl.data.sources"))])
import alexnet_pl.data.prepare.pipeline
print([rule for rule in warnings.filters if "PIL" in str(rule)], _forkserver._preload_modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.split("\n") == ["[]", "[] ['__main__']", ""]


def test_trained_networks_are_loaded_and_used_without_lightning(tiny_run: Path, tmp_path: Path) -> None:
    """Exported weights and run folders: the import of Lightning would take longer than everything else."""
    write_safetensors(read_weights(tiny_run), tmp_path / "model.safetensors")
    code = """
import sys, torch, alexnet_pl
for source in sys.argv[1:]:
    network = alexnet_pl.load(source)
    network.predict(torch.zeros(3, network.size, network.size, dtype=torch.uint8))
print([name for name in ("lightning", "torchmetrics", "matplotlib", "hydra") if name in sys.modules])
"""
    command = [sys.executable, "-c", code, str(tiny_run), str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


def test_type_checkers_see_the_same_names() -> None:
    source = Path(alexnet_pl.__file__).read_text()
    block = source.split("if TYPE_CHECKING:")[1].split("__version__")[0]
    assert {line.split(" as ")[-1] for line in block.splitlines() if " as " in line} == set(alexnet_pl.PUBLIC)
    assert sorted(alexnet_pl.__all__) == sorted(alexnet_pl.PUBLIC)
    assert (Path(alexnet_pl.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
def test_use_from_python_in_the_readme_passes_pyright_with_the_installed_package(tmp_path: Path) -> None:
    """An installed package has rules that its own source has not."""
    pytest.importorskip("pyright")
    block = README.read_text().split("## Use from Python")[1].split("```python\n")[1].split("```")[0]
    (tmp_path / "use.py").write_text(block)
    site = tmp_path / "venv/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    for name in ("alexnet_pl", "torch", "numpy"):
        module = importlib.util.find_spec(name)
        assert module
        assert module.origin
        (site / name).symlink_to(Path(module.origin).parent)
    settings = {"include": ["use.py"], "venvPath": ".", "venv": "venv", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run([sys.executable, "-m", "pyright"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].startswith("0 errors"), done.stdout


def test_every_public_name_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/python.md").read_text()
    assert {line.removeprefix("::: alexnet_pl.") for line in page.splitlines() if line.startswith(":::")} == set(
        alexnet_pl.PUBLIC
    )


def test_tables_accept_one_run_or_several_as_text_or_path(tiny_run: Path) -> None:
    first, *others = [alexnet_pl.learning_curves(given) for given in (tiny_run, str(tiny_run), [str(tiny_run)])]
    assert len(first.splitlines()) == 6, "a heading, an empty line and a table of two validations"
    assert others == [first, first]
    assert {alexnet_pl.code_report(given) for given in (tiny_run, str(tiny_run), [tiny_run])} == {"\n"}, (
        "no codes in it"
    )


def test_load_result_accepts_a_run_folder_or_a_test_folder(tiny_run: Path) -> None:
    newest = alexnet_pl.load_result(tiny_run)
    (test,) = tiny_run.glob("results/*")
    assert alexnet_pl.load_result(test) == newest
    with pytest.raises(alexnet_pl.UserError, match=r"result\.json"):
        alexnet_pl.load_result(tiny_run / "checkpoints")
