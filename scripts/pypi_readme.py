"""Make README.md's links and pictures work outside the repository, as on PyPI: python scripts/pypi_readme.py HOME TAG

Rewrites the file. The release workflow runs it before it builds the package."""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
RELATIVE = r"(?!https?:|mailto:|#)"


def with_addresses(text: str, home: str, tag: str) -> str:
    """`text` with absolute addresses of links, pictures and CI; `home`: the repository's address."""
    text = text.replace("](../../actions/", f"]({home}/actions/")
    text = re.sub(rf'\b(src|srcset)="{RELATIVE}', rf'\1="{home}/raw/{tag}/', text)
    return re.sub(rf"\]\({RELATIVE}", f"]({home}/blob/{tag}/", text)


if __name__ == "__main__":
    README.write_text(with_addresses(README.read_text(encoding="utf-8"), *sys.argv[1:3]), encoding="utf-8")
