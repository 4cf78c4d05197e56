"""Splits of numbered images."""

from collections.abc import Callable

import pytest
from numbered_images import make_split

from alexnet_pl.data.store.split import Split


@pytest.fixture(scope="module")
def split_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Split]:
    """Splits with images 0 to n − 1; each store is made once."""
    made: dict[int, Split] = {}

    def of(count: int) -> Split:
        if count not in made:
            made[count] = make_split(tmp_path_factory.mktemp("store") / "store", list(range(count)))
        return made[count]

    return of
