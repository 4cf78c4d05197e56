"""Identity of images, by their content."""

from functools import partial
from pathlib import Path

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.store.store import Store
from alexnet_pl.evaluation.dataset_info import describe_dataset


def test_data_set_is_identified_by_its_content(tmp_path: Path) -> None:
    prepare(
        synthetic.list_synthetic(20, 10),
        tmp_path / "store",
        StoreSettings("drawn", 32, {}),
        partial(synthetic.read_drawn, size=32),
    )
    found = describe_dataset(Store(tmp_path / "store"), "val")
    assert (found.name, found.images, found.train_images, found.classes) == ("drawn", 10, 20, 10)
    prepare(
        synthetic.list_synthetic(20, 10),
        tmp_path / "other",
        StoreSettings("other", 32, {}),
        partial(synthetic.read_drawn, size=32),
    )
    assert describe_dataset(Store(tmp_path / "other"), "val").class_list == found.class_list
