"""Names of groups on one data set: as few properties as tell them apart."""

import pytest

from alexnet_pl.paper.distinguishing import EPOCHS, fewest_properties

SHORT = {"store": "store a", "augment.crop": "augment.crop=99", EPOCHS: "10 epochs", "networks": ""}


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], []),
        ([SHORT], []),
        ([{**SHORT, EPOCHS: "60 epochs", "store": "store b", "augment.crop": "augment.crop=224"}], ["10 epochs"]),
        ([{**SHORT, "store": "store b", "augment.crop": "augment.crop=224"}], ["augment.crop=99"]),
        ([{**SHORT, "store": "store b"}], ["store a"]),
        ([{**SHORT, EPOCHS: "60 epochs"}, {**SHORT, "store": "store b"}], ["10 epochs", "store a"]),
        (
            [{**SHORT, EPOCHS: "60 epochs", "store": "store b"}, {**SHORT, "store": "store b"}],
            ["store a"],
        ),
        ([{**SHORT, "networks": "networks of run5"}], []),
        ([{"store": "store a"}], []),
    ],
)
def test_fewest_properties_that_differ_from_all_others_are_named(
    others: list[dict[str, str]], expected: list[str]
) -> None:
    assert list(fewest_properties(SHORT, [SHORT, *others])) == expected


def test_schedules_of_fits_of_different_length_are_not_compared() -> None:
    own = {EPOCHS: "10 epochs", "schedule.steps": "schedule.steps=[8]"}
    assert list(fewest_properties(own, [{EPOCHS: "60 epochs", "schedule.steps": "schedule.steps=[50]"}])) == [
        "10 epochs"
    ]
    other = {EPOCHS: "10 epochs", "schedule.steps": "schedule.steps=[9]"}
    assert list(fewest_properties(own, [other])) == ["schedule.steps=[8]"]
