"""Section "Use" of a model card: for each file of the network, a program that classifies an image with it."""

import json

from alexnet_pl.config.views import describe_views
from alexnet_pl.inference.graphs import FORMATS
from alexnet_pl.inference.weights import WeightsInfo

READ_IMAGE = """import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

classes = json.loads(Path("config.json").read_text())["classes"]
picture = Image.open("picture.jpg").convert("RGB")
square = ImageOps.fit(picture, ({size}, {size}), Image.Resampling.{filter})
images = np.array(square).transpose(2, 0, 1)[None]  # (1, 3, {size}, {size}) uint8
"""

EXAMPLES = {  # format → program that classifies picture.jpg
    "safetensors": """import alexnet_pl

model = alexnet_pl.load({source})
print(model.predict("picture.jpg"))
""",
    "onnx": f"""{READ_IMAGE}
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(["probabilities"], {{{{"images": images}}}})
print(classes[probabilities[0].argmax()])
""",
    "torch_export": f"""{READ_IMAGE}
import torch

model = torch.export.load("model.pt2").module()
print(classes[model(torch.from_numpy(images))[0].argmax()])
""",
}


def use_section(info: WeightsInfo, source: str, file_format: str, views: str) -> str:
    return averaged_views(info, file_format, views) + example(info, source, file_format)


def averaged_views(info: WeightsInfo, file_format: str, views: str) -> str:
    """Sentence about the views that a graph averages, which may be others than those of the test."""
    if file_format == "safetensors":
        return ""
    size = info.architecture["augment"]["size"]
    other = info.result is not None and info.result.views != views
    note = "; the errors above are of other views" if other else ""
    file, averaged = FORMATS[file_format][0], f"averages {describe_views(views)}{note}"
    return f"`{file}` takes images of {size} × {size} pixels and {averaged}.\n\n"


def example(info: WeightsInfo, source: str, file_format: str) -> str:
    values = {"source": json.dumps(source), "size": info.architecture["augment"]["size"], "filter": info.filter.upper()}
    return f"```python\n{EXAMPLES[file_format].format(**values)}```\n"
