"""Numbers of ILSVRC-2012's validation images, by which ReaL's labels and development kits list them."""

import re

NAME = re.compile(r"ILSVRC2012_val_(\d{8})(?:_n\d{8})?\.")  # Hugging Face's names end with the image's class


def validation_number(name: str) -> int | None:
    """Number in the name of a validation image, from 1; None for any other image."""
    found = NAME.search(name)
    return int(found[1]) if found else None
