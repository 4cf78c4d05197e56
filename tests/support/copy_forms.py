"""Every form of the copy of copies.py, by name."""

from functools import partial

from copies import (
    archives,
    folder_archives,
    folder_tgz,
    kaggle,
    kaggle_tar,
    kaggle_zip,
    sorted_tree,
    tiny_imagenet,
    tiny_imagenet_zip,
    tree,
)
from hosted_copies import arrow, packed, parquet, shards, tensorflow_datasets, tfrecords

FORMS = {
    "archives": archives,
    "tree": tree,
    "sorted tree": sorted_tree,
    "Kaggle": kaggle,
    "Kaggle's zip": kaggle_zip,
    "Kaggle's tar.gz": kaggle_tar,
    "Parquet": parquet,
    "Hugging Face's tar.gz": packed,
    "Hugging Face's cache": arrow,
    "TFRecord": tfrecords,
    "TensorFlow Datasets": tensorflow_datasets,
    "class folders in an archive": folder_tgz,
    "class folders in two archives": folder_archives,
    "WebDataset": shards,
    "tiny-ImageNet": tiny_imagenet,
    "tiny-ImageNet's zip": tiny_imagenet_zip,
    "2010": partial(archives, year=2010),
}
