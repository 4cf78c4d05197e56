"""Messages and progress bars that commands print."""

import logging
import os
import re
import sys
import warnings
from pathlib import Path

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # names from archives and records could control the terminal


def mask_control(text: str) -> str:
    """Replace control characters, line breaks too, by question marks."""
    return CONTROL.sub("?", text)


def mask_lines(text: str) -> str:
    """Apply `mask_control` to each line of a text."""
    return "\n".join(map(mask_control, text.split("\n")))


def print_warning(line: str) -> None:
    """Print a line on stderr."""
    print(mask_control(line), file=sys.stderr, flush=True)


def is_first_process() -> bool:
    """Whether this is rank 0, as Lightning determines the rank."""
    found = os.environ
    if "RANK" in found:
        return found["RANK"] == "0"
    node = found.get("NODE_RANK", found.get("GROUP_RANK", "0"))
    return (node, found.get("LOCAL_RANK", found.get("SLURM_PROCID", "0"))) == ("0", "0")


def print_message(line: str, where: Path) -> None:
    """Print on the first process only; paths below the working folder are printed relative to it."""
    if is_first_process():
        print(f"{mask_lines(line)}\n→ {mask_control(shorten_path(where))}", flush=True)


def shorten_path(path: Path) -> str:
    """Path relative to the working folder if it is below it, else unchanged."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def suggest(words: str) -> None:
    """Print the command to run next, on the first process only."""
    if is_first_process():
        print(f"next: python -m alexnet_pl {mask_control(words)}", flush=True)


def silence_library_logs() -> None:
    """Silence messages of Lightning, torch and litdata that only comment on their defaults."""
    for chatter in ("lightning.pytorch", "lightning.fabric", "torch.utils.cpp_extension", "litdata"):
        logging.getLogger(chatter).setLevel(logging.ERROR)


def silence_image_warnings() -> None:
    """Silence Pillow's warnings about metadata in photographs, which is never read. For this process as a whole, since
    images are decoded by several threads, so only commands and their worker processes call it."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def progress(line: str) -> None:
    """Print the progress of a long command to stderr."""
    print_warning(f"{line} …")


def pluralize(number: int, noun: str) -> str:
    """1 epoch, 2 epochs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
