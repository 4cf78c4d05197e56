"""OverFeat's boxes and detectors on drawn scenes."""

from studies.run import Script, Study

SCENES = Study(
    "drawn scenes",
    None,
    "",
    ("boxes",),
    (0, 1, 2),
    lambda seeds: [Script("boxes", "boxes.sh", ("boxes",), count=12)],
    lambda source, root: None,
)
