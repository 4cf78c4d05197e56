"""Keys and values of a section are compared with the parameters that they set."""

from typing import Any

import pytest

from alexnet_pl.config.schema import check_keys, instantiate
from alexnet_pl.errors import UserError


def make(root: str = "", size: int = 0, rate: float = 0.0, optional: str | None = "") -> tuple[Any, ...]:
    return root, size, rate, optional


@pytest.mark.parametrize("key", ["root", "size", "rate"])
def test_null_for_a_key_that_needs_a_value_is_named(key: str) -> None:
    with pytest.raises(UserError, match=rf"^data.{key}=null: this key needs a value$"):
        instantiate(make, {key: None}, "data")
    assert instantiate(make, {"optional": None}, "data") == ("", 0, 0.0, None)


def test_unknown_key_names_the_nearest_one_or_all() -> None:
    """Not a random one."""
    for key, advice in (("sise", r"did you mean data.size\?"), ("q", "one of root, size")):
        with pytest.raises(UserError, match=rf"^data.{key}: unknown key; {advice}$"):
            check_keys([key], ["root", "size"], "data")
