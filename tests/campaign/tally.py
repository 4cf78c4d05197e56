"""Count of a campaign's cases and list of its failures, written to CAMPAIGN.json after each case."""

import json
import resource
import shutil
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Tally:
    """Results file of a campaign; `ended` is false while it runs. `place`: folder that is removed from paths in
    messages.

    With `again`, only failed cases are run, and their new results are added to the file.
    """

    def __init__(self, folder: Path, name: str, seed: int, place: Path, again: bool = False) -> None:
        self.path, self.name, self.seed, self.place = folder / f"{name}.json", name, seed, place
        self.before: dict[str, Any] = json.loads(self.path.read_text()) if again else {}
        self.kinds: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.facts: dict[str, Any] = {}
        self.began, self.worked = time.monotonic(), processor_seconds()

    def wants(self, what: str) -> bool:
        """Whether to run the case."""
        return not self.before or any(wrong.startswith(f"{what}: ") for wrong in self.before["wrong"])

    def count(self, kind: str, cases: int = 1) -> None:
        self.kinds[kind] += cases
        self.write(ended=False)

    def note(self, what: str, wrong: str, output: Path | None = None) -> None:
        """Record a failed case; does nothing if `wrong` is empty. `output`: of the command, saved too."""
        if wrong:
            self.wrong.append(f"{what}: {wrong}".replace(f"{self.place}/", ""))
            print(self.wrong[-1], flush=True)
            if output:
                shutil.copyfile(output, self.path.with_name(f"{self.name}-{len(self.wrong)}.txt"))

    def write(self, ended: bool) -> None:
        found: dict[str, Any] = {
            "cases": self.kinds.total(),
            "ended": ended,
            "date": datetime.now(UTC).date().isoformat(),
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.began),
            "processor_seconds": round(processor_seconds() - self.worked),
            **self.facts,
            "kinds": dict(sorted(self.kinds.items())),
            "wrong": self.wrong,
        }
        if self.before:
            found = self.before | {"again": {key: found[key] for key in ("cases", "date", "wrong")}}
        self.path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    def summary(self) -> str:
        seconds = round(time.monotonic() - self.began)
        cases = self.kinds.total()
        return f"{self.name}: {cases:,} cases, seed {self.seed}, {seconds:,} s: {len(self.wrong)} not as promised"


def processor_seconds() -> float:
    """CPU time of this process and its finished child processes."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
