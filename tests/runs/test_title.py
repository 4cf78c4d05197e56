"""Names of runs in the demo app and in W&B."""

from pathlib import Path

import pytest

from alexnet_pl.runs.title import name_run


@pytest.mark.parametrize(
    ("run", "title"),
    [
        ("runs/demo/2026-11-29_17-01-29-067927", "demo, 2026-11-29 17:01"),
        ("runs/demo/2026-11-29_17-01-29", "demo, 2026-11-29 17:01"),
        ("multirun/overlap/seed5", "overlap/seed5"),
        ("runs/caffe", "caffe"),
        ("runs/demo/reproduce/as-shipped", "demo, as-shipped"),
    ],
)
def test_title_names_recipe_and_run(run: str, title: str, tmp_path: Path) -> None:
    assert name_run(tmp_path / run) == title
