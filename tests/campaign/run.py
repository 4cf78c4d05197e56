"""Run the campaigns and write what they found to FOLDER/found.json.

    python tests/campaign/run.py FOLDER SEED (slice | whole) [CAMPAIGN ...]

Prints a line for each case that did not end as it should; exit code 1 if there was one.
"""

import importlib
import os
import sys
import time
from pathlib import Path

CAMPAIGNS = ("kills", "disk_full", "two_processes", "stop_signals", "damage", "damaged_stores", "bad_input")
sys.path.append(str(Path(__file__).parents[1] / "support"))


def main() -> None:
    folder, seed, whole = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3] == "whole"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"ALEXNET_PL_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    os.chdir(folder)
    from forks import preload
    from tally import Tally
    from workload import Workplace

    preload()
    place = Workplace(folder)
    bad = 0
    for name in sys.argv[4:] or CAMPAIGNS:
        tally = Tally(folder / "found.json", name, seed)
        importlib.import_module(name).campaign(place, tally, whole)
        tally.write(ended=True)
        bad += len(tally.wrong)
        cases, seconds = tally.kinds.total(), round(time.monotonic() - tally.began)
        print(f"{name}: {cases} cases, seed {seed}, {seconds} s: {len(tally.wrong)} not as promised", flush=True)
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
