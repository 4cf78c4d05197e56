"""Files of a packed copy, grouped by the split in their names, and the files that are missing."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from alexnet_pl.errors import UserError

SPELLINGS = {
    "train": ("train",),
    "val": ("val", "valid", "validation"),
    "test": ("test",),
}  # of a split's name, in copies
SPLITS = {name: split for split, names in SPELLINGS.items() for name in names}
SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(SPLITS)})(?=[-_.\d]|$)")
PART = re.compile(r"(.*-)(\d+)-of-(\d+)(-[0-9a-f]{16})?(\..*)?")
ADVICE = "download it again, or prepare the files you have with prepare.allow_incomplete=true"


def group_by_split(source: Path, *patterns: str) -> dict[str, list[Path]]:
    """Group the files of a folder or its data/ by the split in their names; `train` comes first."""
    files = [path for folder in (source, source / "data") for path in find_files(folder, patterns)]
    return group((match[1], path) for path in files if (match := SPLIT.search(path.name)))


def group_by_folder(source: Path, *patterns: str) -> dict[str, list[Path]]:
    """Group the files of the folders train/, validation/ and so on by their folder; `train` comes first."""
    return group((name, path) for name in SPLITS for path in find_files(source / name, patterns))


def group(files: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for name, path in files:
        groups.setdefault(SPLITS[name], []).append(path)
    return {split: groups[split] for split in ("train", "val", "test") if split in groups}


def find_files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern)}) if folder.is_dir() else []


def check_complete(folder: Path, missing: list[str], allow_incomplete: bool) -> list[str]:
    """Return `missing`, which the store records. Raises UserError if files are missing, unless `allow_incomplete`."""
    if missing and not allow_incomplete:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"prepare.source: {folder}: {missing[0]}{more} missing; {ADVICE}")
    return missing


def find_missing_validation(files: Mapping[str, list[Path]], val_share: float | None) -> list[str]:
    has_validation = "val" in files or "train" not in files or val_share is not None
    return [] if has_validation else ["all files of the validation split"]


def find_missing_parts(files: Mapping[str, list[Path]]) -> list[str]:
    """Names of missing files, given that names state the number of files, as train-00000-of-00294.parquet or, with a
    digest of the file, train-00000-of-00003-6a0b5e4e1b8b0b0b.parquet."""
    missing = []
    for paths in files.values():
        parts = [match for path in paths if (match := PART.fullmatch(path.name))]
        for count in {int(match[3]) for match in parts}:
            present = {int(match[2]) for match in parts if int(match[3]) == count}
            begin, width, end = parts[0][1], len(parts[0][3]), ("-*" if parts[0][4] else "") + (parts[0][5] or "")
            absent = sorted(set(range(count)) - present)
            missing += [f"{begin}{number:0{width}d}-of-{count:0{width}d}{end}" for number in absent]
    return missing


def find_missing_numbers(files: Mapping[str, list[Path]]) -> list[str]:
    """Names of missing files, given that numbers start at 0 without gaps; files after the last are not detected."""
    missing = []
    for paths in files.values():
        numbered = [match for path in paths if (match := re.match(r"((?:.*\D)?)(\d+)(\.tar(?:\.gz)?)$", path.name))]
        if numbered:
            begin, digits, end = numbered[0].groups()
            present = {int(match[2]) for match in numbered}
            absent = sorted(set(range(max(present))) - present)
            missing += [f"{begin}{number:0{len(digits)}d}{end}" for number in absent]
    return missing
