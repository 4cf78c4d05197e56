"""Count of the cases of a campaign, and what did not end as it should, written to a file after each case."""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Tally:
    """`path` holds the figures of every campaign by name; of one that goes on, `ended` is false."""

    def __init__(self, path: Path, name: str, seed: int) -> None:
        self.path, self.name, self.seed = path, name, seed
        self.kinds: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.facts: dict[str, Any] = {}
        self.began = time.monotonic()

    def count(self, kind: str, cases: int = 1) -> None:
        self.kinds[kind] += cases
        self.write(ended=False)

    def note(self, what: str, wrong: str) -> None:
        """Nothing is noted where `wrong` is empty."""
        if wrong:
            self.wrong.append(f"{what}: {wrong}")
            print(self.wrong[-1], flush=True)

    def write(self, ended: bool) -> None:
        found = json.loads(self.path.read_text()) if self.path.is_file() else {}
        found[self.name] = {
            "cases": self.kinds.total(),
            "ended": ended,
            "date": datetime.now(UTC).date().isoformat(),
            "seed": self.seed,
            "seconds": round(time.monotonic() - self.began),
            **self.facts,
            "kinds": dict(sorted(self.kinds.items())),
            "wrong": self.wrong,
        }
        self.path.write_text(json.dumps(found, indent=1) + "\n")
