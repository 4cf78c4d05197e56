"""Packaging: Docker context, conda environment, lock files, release workflow."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import yaml
from pypi_readme import with_addresses

import alexnet_pl

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_docker_context_suffices_to_build_the_wheel(tmp_path: Path) -> None:
    """Build from only the files that .dockerignore allows; the wheel contains every recipe."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in kept:
        source, copy = ROOT / name, tmp_path / "context" / name
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
    subprocess.run([*command, str(tmp_path / "context")], check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    recipes = {f"alexnet_pl/configs/{path.relative_to(ROOT / 'configs')}" for path in ROOT.glob("configs/**/*.yaml")}
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("alexnet_pl/**/*.py")}
    assert recipes | modules <= names


def test_source_archive_builds_the_wheel_and_has_no_half_of_the_tests() -> None:
    """Tests read files of the whole checkout, such as scripts/ and the workflows."""
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    archived = {line.strip("/") for line in targets["sdist"]["include"]}
    assert kept - {"pyproject.toml", "README.md"} <= archived  # the first is always in it
    assert "*.md" in archived
    assert not {"tests", "docs", "notebooks", "Makefile"} & archived


def test_extras_of_the_image_and_of_conda_exist() -> None:
    image = re.search(r"^ARG EXTRAS=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    (pip,) = [part["pip"] for part in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1:]]
    conda = re.search(r"\[(\S+)\]", pip[0])
    assert image
    assert conda
    assert {*image[1].split(","), *conda[1].split(",")} <= set(EXTRAS)


def test_release_is_refused_unless_its_tag_is_the_version() -> None:
    """Run the workflow's own line for this version's tag and for another."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    (check,) = [
        step["run"] for step in workflow["jobs"]["build"]["steps"] if step.get("name") == "The tag is the version"
    ]
    for tag, code in ((f"v{alexnet_pl.__version__}", 0), ("v99.0.0", 1)):
        assert subprocess.run(check, shell=True, cwd=ROOT, env={"GITHUB_REF_NAME": tag}).returncode == code, tag


def test_both_lock_files_pin_every_dependency() -> None:
    """Every dependency has an exact version, and there is no index URL."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[<>=\[; ]", line)[0].lower() for line in project["dependencies"]}
    for name in ("requirements.lock.txt", "requirements-core.lock.txt"):
        text = (ROOT / name).read_text()
        assert wanted <= set(re.findall(r"^([a-z0-9_.-]+)==", text, re.MULTILINE)), name
        assert "://" not in text, name


def test_readme_on_pypi_has_absolute_links_to_files_of_the_repository() -> None:
    """Markdown's own addresses, and those in HTML, after the release workflow's step."""
    text = with_addresses((ROOT / "README.md").read_text(), "https://github.com/us/alexnet_pl", "v1.0")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert all(address.startswith("https://") for address in links + pictures)
    ours = [re.sub(r"#.*", "", link) for link in links + pictures if link.startswith("https://github.com/us/")]
    files = [link.split("/v1.0/")[1] for link in ours if "/actions/" not in link]
    assert len(files) > 40
    assert all((ROOT / file).exists() for file in files)
    assert all("/raw/v1.0/" in picture for picture in pictures)


def test_release_rewrites_the_readme_before_it_builds() -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["build"]["steps"]
    lines = [step.get("run", "") for step in steps]
    (rewrite,) = [number for number, line in enumerate(lines) if "scripts/pypi_readme.py" in line]
    (build,) = [number for number, line in enumerate(lines) if "python -m build" in line]
    assert rewrite < build
