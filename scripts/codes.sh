#!/usr/bin/env bash
# docs/codes.md from the run folder of a trained network. If interrupted, run the same command again to resume.
# With KEEP=1, each run's small files replace those in docs/data/evidence, of which docs/codes.md is made.
#
#   scripts/codes.sh RUN OUT [seeds, default 0] [more of any recipe's keys, such as data.root=FOLDER for `features`]
set -euo pipefail
run=$(realpath "$1") out=$2 seeds=${3:-0}
mkdir -p "$out" && out=$(realpath "$out")
python=${PYTHON:-python}
alexnet() { "$python" -m alexnet_pl "$@"; }

alexnet features -c "$run" "${@:4}"
alexnet features -c "$run" features.layer=pixels "${@:4}"
for seed in ${seeds//,/ }; do
  for bits in 28 64 128 256; do
    for kind in "fc7 1" "fc7 0" "pixels 0"; do
      read -r layer neighbors <<< "$kind"
      name=$layer-$bits-neighbors$neighbors-seed$seed
      alexnet reproduce -c codes codes.features="'$run'" codes.layer="$layer" codes.bits="$bits" \
        codes.neighbors="$neighbors" codes.hidden=[1024] seed="$seed" logger=csv hydra.run.dir="$out/$name"
      [ -z "${KEEP:-}" ] || "$python" "$(dirname "$0")/kept_runs.py" "$out/$name" "codes/$name"
    done
  done
done
alexnet report report.runs="$out" hydra.run.dir="$out/report"  # its codes.md is docs/codes.md
