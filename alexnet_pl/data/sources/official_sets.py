"""Facts about published data sets, by which a copy, a store or a result is recognized."""

# SHA-256 of the 1,000 WordNet ids, sorted, joined by newlines; those of 2012 are in its devkit's meta.mat
ILSVRC2010_CLASSES = "5365280f1c0b13c7f97e278f62f1d9b82b91ea06c4aeb6a68b6ac8caa374059e"
ILSVRC2012_CLASSES = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
KNOWN_COUNTS = {
    "ilsvrc2010": {"train": 1_261_406, "val": 50_000, "test": 150_000},
    "ilsvrc2012": {"train": 1_281_167, "val": 50_000, "test": 100_000},
}
"""Number of images of each official split, by store name, as the development kits count them."""
PUBLISHED = (*KNOWN_COUNTS, "cifar10", "fall2009", "fall2011", "imagenette", "tinyimagenet")
"""Store names of published data sets, as recipes have them."""
