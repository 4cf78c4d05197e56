"""Write the generated parts of the documentation: docs/reference/ and the tables of results.

python scripts/reference.py          write them
python scripts/reference.py --check  write nothing; exit with 1 if one is out of date
"""

import sys
from pathlib import Path

from pages.commands import commands_page
from pages.config_keys import config_page
from pages.evidence import CODES, FIGURE1, draw_codes, draw_figure1, evidence_pages
from pages.markdown import ROOT, with_table
from pages.recipes import recipes_page
from pages.results import failures_table
from pages.trainer import trainer_page

CLUSTERS = ROOT / "docs/how-to/clusters.md"


def main() -> int:
    stale = {
        path: text for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv:
        print("\n".join(f"{path.relative_to(ROOT)}: out of date; run make reference" for path in stale))
        return int(bool(stale))
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    if CODES in stale:
        draw_codes()
    if FIGURE1 in stale:
        draw_figure1()
    return 0


def pages() -> dict[Path, str]:
    reference = ROOT / "docs/reference"
    return {
        reference / "commands.md": commands_page(),
        reference / "recipes.md": recipes_page(),
        reference / "config.md": config_page(),
        reference / "trainer.md": trainer_page(),
        **evidence_pages(),
        CLUSTERS: with_table(CLUSTERS.read_text(encoding="utf-8"), "failures", failures_table()),
    }


if __name__ == "__main__":
    sys.exit(main())
