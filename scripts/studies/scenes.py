"""OverFeat's boxes and detectors on drawn scenes."""

from studies.run import Script, Study

NAMES = tuple(  # as scripts/boxes.sh names them
    f"{kind}-{seed}"
    for seed in (0, 1, 2)
    for kind in ("localise-shared", "localise-per_class", "detect-none", "detect-random", "detect-random_and_hard")
)

SCENES = Study(
    "drawn scenes",
    None,
    "",
    ("boxes",),
    (),
    lambda seeds: [Script("boxes", "boxes.sh", ("boxes",), NAMES)],
    lambda source, root: None,
)
