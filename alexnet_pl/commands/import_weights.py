"""`import`: convert weights of another program into a run folder, to test, draw and search with."""

from pathlib import Path

from alexnet_pl.commands.run_options import ImportOptions
from alexnet_pl.console import print_message, suggest
from alexnet_pl.digests import sha256
from alexnet_pl.errors import UserError
from alexnet_pl.inference.imports.class_order import output_classes, sort_classes
from alexnet_pl.inference.imports.formats import format_of, read_network
from alexnet_pl.inference.imports.mean_image import fill, read_mean
from alexnet_pl.inference.imports.run_folder import SIZE, write_run
from alexnet_pl.runs.layout import ROOT
from alexnet_pl.runs.records import ImportedWeights


def import_weights(files: list[Path], options: ImportOptions) -> None:
    if len(files) != 1:
        raise UserError("import: give one file of weights: import FILE [format=caffe] [out=FOLDER]")
    (path,) = files
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    kind = format_of(path, options.format)
    network = read_network(path, kind)
    classes, basis = output_classes(network, options.classes, options.root)
    if network.mean is None:
        mean = read_mean(options.mean, kind, SIZE)
    elif options.mean is None:
        mean = fill(network.mean, SIZE)
    else:
        raise UserError(f"mean={options.mean}: the mean color is part of the format {kind}; leave it out")
    network, classes = sort_classes(network, classes)
    record = ImportedWeights(file=path.name, sha256=sha256(path), format=kind, classes=basis)
    out = Path(options.out) if options.out else ROOT / "imported" / path.stem
    write_run(network, classes, mean, record, out, options.root)
    parameters = sum(tensor.numel() for tensor in network.tensors.values())
    print_message(f"{kind}, {parameters:,} parameters, {len(classes):,} classes ({basis})", out)
    suggest(f"test {out}" + ("" if options.root else " data.root=STORE"))
