"""Collect what a GPU machine without network needs to run `bench gpu`: wheels, and a store in parts of 48 MB.

    python scripts/gpu_kit.py kit                                   wheels for Python 3.12 on Linux, x86-64
    python scripts/gpu_kit.py kit --minimal                         only wheels that PyTorch's images lack
    python scripts/gpu_kit.py kit --store /fast/imagenette          also the store, in parts
    python scripts/gpu_kit.py kit --join /scratch/imagenette        on the GPU machine: the store from its parts

The GPU machine is expected to have torch, torchvision and Lightning. There:

    python -m pip install --no-index --no-deps --target site kit/wheels/*.whl
    PYTHONPATH=site:. python -m alexnet_pl bench gpu bench.output=gpu data.root=/scratch/imagenette
"""

import argparse
import re
import subprocess
import sys
import tarfile
from pathlib import Path

PART = 48_000_000  # bytes
LOCK = Path(__file__).parents[1] / "requirements.lock.txt"
PYTHON, PLATFORMS = "3.12", ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
PACKAGES = (
    "hydra-core", "omegaconf", "antlr4-python3-runtime", "simplejpeg", "blake3", "rich", "markdown-it-py",
    "mdurl", "pygments",
    "pyarrow", "tabulate", "safetensors", "indexed-gzip", "nvidia-ml-py", "fsspec", "pyyaml", "scipy",
    "matplotlib", "contourpy", "cycler", "fonttools", "kiwisolver", "pyparsing", "python-dateutil", "six", "pillow",
    "pytest", "iniconfig", "pluggy", "packaging",
)  # fmt: skip
MINIMAL = ("hydra-core", "omegaconf", "antlr4-python3-runtime", "simplejpeg", "blake3", "indexed-gzip")


def collect_wheels(folder: Path, packages: tuple[str, ...]) -> None:
    """Download all wheels; antlr4's runtime is only published as (pure Python) source, so its wheel is built here."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    target = ["--python-version", PYTHON, "--implementation", "cp", *[f"--platform={name}" for name in PLATFORMS]]
    pins = pinned_packages(LOCK.read_text(encoding="utf-8"), packages)
    (source,) = [pin for pin in pins if pin.startswith("antlr4")]
    wheels = [pin for pin in pins if pin != source]
    subprocess.run(
        [*pip, "download", "--no-deps", "--only-binary=:all:", *target, "--dest", str(folder), *wheels], check=True
    )
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), source], check=True)


def pinned_packages(lock: str, packages: tuple[str, ...]) -> list[str]:
    """`name==version` of the packages, since the newest versions may not work together. Of two versions in the lock,
    the second is for Python 3.12 and later."""
    versions = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE))
    return [f"{name}=={versions[name]}" for name in packages]


def split_store(store: Path, folder: Path) -> list[Path]:
    """Split an uncompressed tar of the store, since its images are compressed, into part-000000, part-000001, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("part-*"):
        old.unlink()
    whole = folder / "store.tar"
    with tarfile.open(whole, "w") as archive:
        archive.add(store, arcname=".")
    parts = []
    with whole.open("rb") as file:
        while block := file.read(PART):
            parts.append(folder / f"part-{len(parts):06}")
            parts[-1].write_bytes(block)
    whole.unlink()
    return parts


def join_store(folder: Path, store: Path) -> None:
    """Restore the store from its parts. Its fingerprint shows whether a part is missing."""
    whole = folder / "store.tar"
    with whole.open("wb") as file:
        for part in sorted(folder.glob("part-*")):
            file.write(part.read_bytes())
    with tarfile.open(whole) as archive:
        archive.extractall(store, filter="data")
    whole.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the kit is")
    parser.add_argument("--minimal", action="store_true", help="only wheels that PyTorch's images lack")
    parser.add_argument("--store", type=Path, help="a prepared store to take along")
    parser.add_argument("--join", type=Path, help="put the store of the kit together in this folder")
    args = parser.parse_args()
    if args.join:
        return join_store(args.folder / "data", args.join)
    collect_wheels(args.folder / "wheels", MINIMAL if args.minimal else PACKAGES)
    if args.store:
        print(f"{len(split_store(args.store, args.folder / 'data'))} parts of the store in {args.folder / 'data'}")


if __name__ == "__main__":
    main()
