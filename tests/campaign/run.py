"""Run the campaigns and write what they found.

    python tests/campaign/run.py FOLDER SEED (slice | whole) [CAMPAIGN ...]

FOLDER is new; found.json is written there. Prints a line for each case that did not end as it should.
"""

import importlib
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

CAMPAIGNS = ("kills", "disk_full", "two_processes", "stop_signals", "damage", "bad_input")


def main() -> None:
    folder, seed, whole = Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3] == "whole"
    folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"ALEXNET_PL_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    os.chdir(folder)
    from forks import preload
    from workload import Workplace

    preload()
    place = Workplace(folder)
    found = {}
    for name in sys.argv[4:] or CAMPAIGNS:
        began = time.monotonic()
        found[name] = importlib.import_module(name).campaign(place, seed, whole)
        today = datetime.now(UTC).date().isoformat()
        found[name] |= {"seconds": round(time.monotonic() - began), "date": today, "seed": seed}
        wrong = len(found[name]["wrong"])
        print(f"{name}: {found[name]['cases']} cases, seed {seed}: {wrong} not as they should be", flush=True)
        (folder / "found.json").write_text(json.dumps({"whole": whole, "campaigns": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
