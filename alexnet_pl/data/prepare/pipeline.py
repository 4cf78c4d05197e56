"""Preparation from options: list the source, make the store, repair it."""

from functools import partial
from pathlib import Path
from typing import Any

from alexnet_pl.config.sections import DEMO, SCENES
from alexnet_pl.data.archives.open_files import close_files
from alexnet_pl.data.archives.remote import open_source
from alexnet_pl.data.prepare.drawn import find_drawn_set
from alexnet_pl.data.prepare.options import PrepareOptions, StoreSettings, without_missing
from alexnet_pl.data.prepare.repair import repair
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import ImageReader, read_square, read_whole
from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.box_files import index_boxes
from alexnet_pl.data.sources.disk_list import lists_beside
from alexnet_pl.data.sources.forms import ARCHIVES, CIFAR10, FOLDERS, SET_OF_FORM, TINY, UNCLASSIFIED, read_source
from alexnet_pl.data.sources.image_folder import split_roots
from alexnet_pl.data.sources.official_sets import KNOWN_COUNTS, PUBLISHED
from alexnet_pl.data.sources.robustness import is_robustness_set, read_robustness
from alexnet_pl.data.sources.synset_archives import read_synsets
from alexnet_pl.data.sources.with_boxes import add_boxes
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError, reason

OTHER_VALUE = "give another data.root, or the store's value"


def list_source(options: PrepareOptions) -> tuple[str, DatasetListing]:
    """Detect the form of the source and list it: (name of the form, listing). Raises UserError if it cannot be read."""
    try:
        with lists_beside(Path(options.root)):
            form, source = find_source(options)
    except OSError as error:
        raise UserError(f"prepare.source: {reason(error)}") from error
    finally:
        close_files()
    if options.synsets and form != ARCHIVES:
        raise UserError(
            f"prepare.synsets: only classes of {ARCHIVES} can be chosen, but {options.source or options.name} holds "
            f"{form}; remove the key"
        )
    return form, source


def find_source(options: PrepareOptions) -> tuple[str, DatasetListing]:
    if drawn := find_drawn_set(options):
        return drawn.form, drawn.list_records()
    if not options.source:
        raise UserError("prepare.source is required: pass prepare.source=FOLDER, the copy of the images to prepare")
    path = open_source(options.source, "prepare.source")
    if is_robustness_set(options.name):
        return f"images to test on ({options.name})", read_robustness(path, options.name)
    form, source = read_source(path, options.copy_options)
    check_form(options, path, form)
    if source.held_out is not None:
        check_held_out(options, form)
    return form, source


def check_form(options: PrepareOptions, path: Path, form: str) -> None:
    """Raise UserError if the copy at `path` has a form that these options do not allow."""
    if form in UNCLASSIFIED and not options.store_encoding.is_whole:
        raise UserError(f"prepare.source: {options.source}: {form} has boxes, not classes; add prepare.encoding=whole")
    if form == FOLDERS and is_class_folder(Path(options.root), path):
        raise UserError(f"data.root: {options.root} would be a class folder of {options.source}; give another place")
    if options.name == "cifar10" and form != CIFAR10:
        raise UserError(
            f"prepare.source: {options.source} holds {form}, not CIFAR-10; give cifar-10-python.tar.gz, or the "
            "folder unpacked from it, or choose another data.name"
        )
    own, recipe = SET_OF_FORM.get(form, (options.name, ""))
    if options.name in PUBLISHED and options.name != own:
        what = "the official tiny-ImageNet (wnids.txt)" if form == TINY else form
        raise UserError(
            f"prepare.source: {options.source} holds {what}, not {options.name}; prepare it with -c {recipe}, or "
            "choose another data.name"
        )


def is_class_folder(root: Path, source: Path) -> bool:
    """Whether a store at `root` would count as a class of the class folders in `source`; hidden folders do not."""
    inside = root.parent.resolve() == source.resolve() and root.name[:1] != "."
    return inside and not split_roots(source)["train"].is_dir()


def check_held_out(options: PrepareOptions, form: str) -> None:
    """Raise UserError for a copy without validation images, unless a share of its images may be held out."""
    if options.name in KNOWN_COUNTS:
        raise UserError(
            f"prepare.source: {options.source} holds only {form}; a store named {options.name} also needs the "
            "validation images and the development kit beside them (to split by a hash of the names instead, choose "
            "another data.name and prepare.val_share)"
        )
    if options.val_share is None:
        raise UserError(
            f"prepare.source: {options.source} holds {form}, without a validation split; prepare.val_share=0.5 holds "
            "out half of the images, by their names"
        )


def store_settings(options: PrepareOptions, source: DatasetListing) -> StoreSettings:
    crop = "none" if options.store_encoding.is_whole else "centre"  # as in the fingerprints of all stores
    preparation: dict[str, object] = {"filter": options.filter, "crop": crop, "orientation": "ignored"}
    if drawn := find_drawn_set(options):
        preparation = dict(drawn.settings)
    if source.held_out is not None:
        preparation["held_out"] = source.held_out
    if source.missing:
        preparation["missing"] = source.missing
    encoding, shard = options.store_encoding, options.images_per_shard
    return StoreSettings(
        options.name, options.size, preparation, encoding, shard, options.workers, options.allow_incomplete
    )


def image_reader(options: PrepareOptions) -> ImageReader:
    """Function from a record to its pixels and a note on a non-standard file."""
    if drawn := find_drawn_set(options):
        return drawn.read
    reader = read_whole if options.store_encoding.is_whole else read_square
    return partial(reader, size=options.size, filter_name=options.filter)


def with_boxes(options: PrepareOptions, form: str, source: DatasetListing) -> DatasetListing:
    """Listing with the bounding boxes of `prepare.boxes`, else of the copy; unchanged if there are none, and for drawn
    images, which are listed with theirs."""
    if find_drawn_set(options):
        return source
    if options.boxes:
        first = 0 if options.first_pixel is None else options.first_pixel
        index = index_boxes(open_source(options.boxes, "prepare.boxes"), first)
    elif source.boxes is not None:
        index = source.boxes()
    else:
        print(f"  no boxes in this copy ({form}); for boxes in another place pass prepare.boxes=FOLDER", flush=True)
        return source
    print(f"  {index.boxes:,} boxes of {index.images:,} annotated images", flush=True)
    return add_boxes(source, index)


def make_store(options: PrepareOptions) -> dict[str, Any] | None:
    """Make the store and return its manifest; None if this was one part of several."""
    form, source = list_source(options)
    numbers = "" if source.numbers is None else ", with their ILSVRC ids"
    classes, splits = len(source.classes), ", ".join(source.splits)
    print(f"{options.source or options.name}: {form}, {classes:,} classes{numbers}, splits {splits}", flush=True)
    if source.missing:
        print(f"  incomplete, without {', '.join(source.missing)}", flush=True)
    if source.held_out is not None:
        print(f"  no validation split: {100 * source.held_out:g} % of the images are held out by name", flush=True)
    elif options.val_share is not None and "val" in source.splits:
        print("  prepare.val_share is not used: the copy has a validation split of its own", flush=True)
    settings, read_image = store_settings(options, source), image_reader(options)
    if settings.encoding.is_whole:
        source = with_boxes(options, form, source)
    return prepare(source, Path(options.root), settings, read_image, options.work_part)


def repair_store(options: PrepareOptions, store: Store) -> list[Path]:
    """Prepare the corrupt files again from the source; return their paths."""
    form, source = list_source(options)
    settings = store_settings(options, source)
    check_same_store(options, store, settings=settings.how)
    if settings.encoding.is_whole:
        source = with_boxes(options, form, source)
    settings = settings._replace(shard=store.manifest.shard)
    return repair(store, source, settings, image_reader(options))


def check_same_store(options: PrepareOptions, store: Store, **more: Any) -> None:
    """Raise UserError, naming the key, if these options would make a store that differs from `store`."""
    described = {"name": options.name, "size": options.size, "encoding": options.store_encoding.describe(), **more}
    for key, value in described.items():
        if without_missing(store.description[key]) != without_missing(value):
            section = "data" if key in ("name", "size") else "prepare"
            raise UserError(
                f"{section}.{key}: the store at {store.root} has {store.description[key]}, not {value}; {OTHER_VALUE}"
            )


def check_same_settings(options: PrepareOptions, store: Store) -> None:
    """Raise UserError, naming the key, if the store records another value of a key of the `prepare` section."""
    recorded = store.manifest.settings or {}
    scenes_recorded = recorded.get("drawn") == SCENES
    if options.source and options.name != DEMO and scenes_recorded != (options.source == SCENES):
        kind = "drawn scenes" if scenes_recorded else "images of a copy"
        raise UserError(f"prepare.source: the store at {store.root} has {kind}, not {options.source}")
    for key, name in (("filter", "filter"), ("val_share", "held_out"), ("objects", "objects")):
        wanted = getattr(options, key)
        if name in recorded and wanted is not None and recorded[name] != wanted:
            raise UserError(
                f"prepare.{key}: the store at {store.root} has {recorded[name]}, not {wanted}; {OTHER_VALUE}"
            )
    if options.synsets and read_synsets(Path(options.synsets)) != {wnid for wnid, _ in store.classes}:
        raise UserError(f"prepare.synsets: the store at {store.root} has other classes than {options.synsets} lists")
