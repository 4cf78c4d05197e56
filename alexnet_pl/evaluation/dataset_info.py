"""Identity of the images of a fit or a test, for records."""

import hashlib

from alexnet_pl.data.store.store import Store
from alexnet_pl.runs.records import DatasetInfo


def describe_dataset(store: Store, split: str) -> DatasetInfo:
    """Identity of a store's split, as stored in records."""
    identities = "\n".join(identity for identity, _ in store.classes)
    return DatasetInfo(
        name=store.name,
        fingerprint=store.fingerprint,
        split=split,
        images=len(store.split(split)),
        train_images=store.manifest.num_images("train"),
        classes=len(store.classes),
        class_list=hashlib.sha256(identities.encode()).hexdigest(),
        missing=store.manifest.missing,
        size=store.size,
        encoding=store.encoding.name,
    )
