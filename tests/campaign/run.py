"""Run the campaigns, JOBS (default 1) at a time, and write the results of each to FOLDER/CAMPAIGN.json.

    [JOBS=2] python tests/campaign/run.py FOLDER SEED (slice | whole | again) [CAMPAIGN ...]

`again`: run only the cases of damage and bad_input that failed, according to the results for that seed in FOLDER.
Prints a line for each failed case; exit code 1 if there was one.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

LONGEST_FIRST = ("damage", "kills", "bad_input", "stop_signals", "disk_full", "two_processes", "damaged_stores")
sys.path.append(str(Path(__file__).parents[1] / "support"))


def main() -> None:
    folder, seed, mode = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3]
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"ALEXNET_PL_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    os.chdir(folder)
    from forks import preload

    preload()
    names = sys.argv[4:] or LONGEST_FIRST
    bad = in_slots(names, int(os.environ.get("JOBS", "1")), lambda name, slot: campaign(folder, slot, name, seed, mode))
    raise SystemExit(bad)


def campaign(folder: Path, slot: int, name: str, seed: int, mode: str) -> bool:
    """Run a campaign; whether all cases passed. Campaigns of one slot share images, stores and undisturbed runs."""
    from tally import Tally
    from workload import Workplace

    place = Workplace(folder / f"slot{slot}")
    tally = Tally(folder, name, seed, place.folder, mode == "again")
    importlib.import_module(name).campaign(place, tally, mode != "slice")
    tally.write(ended=True)
    print(tally.summary(), flush=True)
    return not tally.wrong


def in_slots(names: Iterable[str], slots: int, one: Callable[[str, int], bool]) -> bool:
    """Call `one` for each name in its own process, at most `slots` at a time; whether any case failed."""
    free, running, bad = list(range(slots)), {}, False
    for name in [*names, *[""] * slots]:  # the empty names wait for the last processes
        if not free or not name:
            if not running:
                break
            pid, status = os.wait()
            free.append(running.pop(pid))
            bad |= status != 0
        if name:
            slot = free.pop(0)
            if not (pid := os.fork()):
                in_fork(lambda name=name, slot=slot: one(name, slot))
            running[pid] = slot
    return bad


def in_fork(one: Callable[[], bool]) -> None:
    code = 1
    try:
        code = 0 if one() else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
