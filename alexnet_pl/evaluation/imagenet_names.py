"""Names of ILSVRC's validation and test images, whose numbers the labels of ReaL, development kits and servers use."""

import re

VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})(?:_n\d{8})?\.")  # Hugging Face's names end with the image's class
TEST = re.compile(r"ILSVRC2012_test_(\d{8})\.")
DETECTION_TEST = re.compile(r"ILSVRC20\d\d_test_(\d{8})\.")  # of the detection task in any year


def validation_number(name: str) -> int | None:
    """Number in the name of a validation image of 2012, from 1; None for any other image."""
    return read_number(VALIDATION, name)


def number_in_test_set(name: str) -> int | None:
    """Number in the name of a test image of 2012, from 1; None for any other image."""
    return read_number(TEST, name)


def read_number(pattern: re.Pattern[str], name: str) -> int | None:
    found = pattern.search(name)
    return int(found[1]) if found else None
