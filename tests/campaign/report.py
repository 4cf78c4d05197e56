"""Write docs/data/campaign.json and docs/development/robustness.md from the folder of a whole campaign.

    python tests/campaign/report.py [FOLDER]

Results of campaigns that are not in FOLDER are kept; without FOLDER, only the page is written again.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA, PAGE = ROOT / "docs/data/campaign.json", ROOT / "docs/development/robustness.md"
SECTIONS = tomllib.loads(Path(__file__).with_name("promises.toml").read_text())
HEAD = """# Robustness

What the package promises when processes are killed, disks fill up and files are corrupt, and how it is tested.
`make campaign` does all of it and writes this page; `make test` tries a small part, always the same. Networks are tiny
there, so that a fit takes seconds; commands run in forks of one process on a CPU.
"""


def main() -> None:
    there: dict[str, Any] = json.loads(DATA.read_text()) if DATA.is_file() else {}
    if len(sys.argv) > 1:
        found = {name: Path(sys.argv[1]) / f"{name}.json" for name in SECTIONS}
        there |= {name: json.loads(path.read_text()) for name, path in found.items() if path.is_file()}
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(json.dumps(there, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(there))


def page(there: dict[str, Any]) -> str:
    rows = [
        "| campaign | cases | not as promised | date | seed | minutes | CPU minutes |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: |",
        *(row(section["title"], there.get(name)) for name, section in SECTIONS.items()),
    ]
    parts = [HEAD, "## Last campaign\n", "\n".join(rows) + "\n"]
    for name, section in SECTIONS.items():
        parts += [f"## {section['title']}\n", f"{section['promise']}\n", f"Tested: {section['how']}\n"]
        parts += details(there.get(name))
    return "\n".join(parts)


def row(title: str, found: dict[str, Any] | None) -> str:
    if found is None:
        return f"| {title} | not yet run | | | | | |"
    cases = f"{found['cases']:,}" + ("" if found["ended"] else " (stopped before its end)")
    minutes = [f"{found[key] / 60:.0f}" for key in ("seconds", "processor_seconds")]
    return (
        " | ".join((f"| {title}", cases, str(len(found["wrong"])), found["date"], str(found["seed"]), *minutes)) + " |"
    )


def details(found: dict[str, Any] | None) -> list[str]:
    """Cases by kind, and those that failed."""
    if found is None:
        return []
    where = [f"Here: {found['how']}.\n"] if "how" in found else []
    kinds = "\n".join(f"| {kind} | {count:,} |" for kind, count in found["kinds"].items())
    wrong = "\n".join(f"- {one}" for one in found["wrong"])
    return [
        *where,
        f"| case | times |\n| --- | ---: |\n{kinds}\n",
        *([f"Not as promised:\n\n{wrong}\n"] if wrong else []),
        *([run_again(found["again"])] if "again" in found else []),
    ]


def run_again(found: dict[str, Any]) -> str:
    """Results of rerunning the failed cases after the package was changed."""
    wrong = "".join(f"\n- {one}" for one in found["wrong"])
    return (
        f"Run again after changes, on {found['date']}: {found['cases']} cases, of which {len(found['wrong'])} were not "
        f"as promised.{wrong}\n"
    )


if __name__ == "__main__":
    main()
