"""Store-damage campaign: every damage to a raw and a JPEG store is named on reading and by `verify`, and repaired."""

import io
import random
from contextlib import redirect_stdout

from store_damage import Damage, damages, make_small_store, wrong_when_read, wrong_when_verified
from tally import Tally
from workload import Workplace

JUDGES = {"read": wrong_when_read, "verified and repaired": wrong_when_verified}


def campaign(place: Workplace, tally: Tally, whole: bool) -> None:
    for encoding in ("raw", "jpeg"):
        options = make_small_store(place.fresh(f"damaged_stores/{encoding}"), encoding)
        table: list[Damage] = list(damages(place.folder / f"damaged_stores/{encoding}/whole"))
        if not whole:
            table = random.Random(tally.seed).sample(table, 4)
        for name, judge in JUDGES.items():
            for damage in table:
                with redirect_stdout(io.StringIO()):
                    wrong = judge(damage, options, place.folder / "damaged_stores/store")
                tally.note(f"{encoding}, {name}: {damage.name}", wrong)
                tally.count(f"{encoding}, {damage.file}: {name}")
