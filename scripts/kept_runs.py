"""Copy a run's small files to docs/data/evidence, from which docs/measured.md, boxes.md and codes.md are written.

python scripts/kept_runs.py RUN overfeat/seed1
"""

import json
import re
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq

KEPT = Path(__file__).resolve().parent.parent / "docs/data/evidence"
RESULTS = ("result.json", "boxes.json", "codes.json")
SMALL_FILES = ("metrics.csv", "fit.json", "provenance.json", "kernels.json", ".hydra/config.yaml")


def keep_run(folder: Path, kept: Path) -> None:
    """Copy a run's small files: records without the machine's name and paths, predictions without probabilities."""
    for result in (path for name in RESULTS for path in folder.glob(f"results/*/{name}")):
        keep_result(result, kept / result.relative_to(folder))
    for name in SMALL_FILES:
        if (folder / name).is_file():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, kept / name)
    shorten_paths(kept / ".hydra/config.yaml")
    remove_machine(kept / "provenance.json")


def keep_result(result: Path, target: Path) -> None:
    """Copy the record of a test, and the predictions beside it without their probabilities."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(result, target)
    predictions = result.with_name("probabilities.parquet")
    if predictions.is_file():
        footer = {"alexnet_pl": pq.read_metadata(predictions).metadata[b"alexnet_pl"]}  # the test's description
        table = pq.read_table(predictions, columns=["image", "label", "best"]).replace_schema_metadata(footer)
        pq.write_table(table, target.with_name(predictions.name), compression="zstd")


def shorten_paths(config: Path) -> None:
    """Replace absolute paths and URLs in a copied config by their last part."""
    if config.is_file():
        text = config.read_text(encoding="utf-8")
        short = re.sub(r"(?m)^( +\w+: )['\"]?(?:/|\w+://)(?:.*/)?([^/\n'\"]*)['\"]?$", r"\1\2", text)
        config.write_text(short, encoding="utf-8")


def remove_machine(provenance: Path) -> None:
    """Remove the machine's name and the typed words from a copied record."""
    if provenance.is_file():
        record = json.loads(provenance.read_text(encoding="utf-8"))
        sessions = [session | {"host": "", "argv": []} for session in record["sessions"]]
        provenance.write_text(json.dumps(record | {"sessions": sessions}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    if len(sys.argv) != 3 or not (Path(sys.argv[1]) / "provenance.json").is_file():
        sys.exit("usage: kept_runs.py RUN NAME, where RUN is a run folder with provenance.json")
    run, kept = Path(sys.argv[1]), KEPT / sys.argv[2]
    shutil.rmtree(kept, ignore_errors=True)
    keep_run(run, kept)


if __name__ == "__main__":
    main()
