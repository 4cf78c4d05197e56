#!/usr/bin/env bash
# Test the wheel in a new environment: build it, install it and nothing else, and run ten lines.
#
#   scripts/fresh_venv.sh RUN [FOLDER]
#
# RUN: a run folder or an exported folder. FOLDER: for the environment, a temporary one by default; it takes about 6 GB.
# Needs uv (`pip install uv`).
set -euo pipefail
run=$(realpath "$1")
folder=${2:-$(mktemp -d)}
root=$(cd "$(dirname "$0")/.." && pwd)

uv build --quiet --wheel --out-dir "$folder/dist" "$root"
uv venv --quiet "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" "$folder"/dist/*.whl
cd "$folder"
env -u PYTHONPATH "$folder/venv/bin/python" - "$run" <<'PYTHON'
import sys
from PIL import Image
import alexnet_pl

print(alexnet_pl.__version__, alexnet_pl.__file__)
model = alexnet_pl.load(sys.argv[1])
picture = Image.linear_gradient("L").convert("RGB").resize((400, 300))
for guess in model.predict(picture, top=3)[0]:
    print(f"{guess.probability:.3f} {guess.name}")
print({name: tuple(values.shape) for name, values in model.features(picture, ["conv5", "fc7"]).items()})
PYTHON
