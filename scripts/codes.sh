#!/usr/bin/env bash
# docs/codes.md from the run folder of a trained network; stopped at any moment, the same command goes on where it was.
#
#   scripts/codes.sh RUN OUT [seeds, default 0] [more of any recipe's keys, such as data.root=FOLDER for `features`]
set -euo pipefail
run=$(realpath "$1") out=$2 seeds=${3:-0}
mkdir -p "$out" && out=$(realpath "$out")
alexnet() { "${PYTHON:-python}" -m alexnet_pl "$@"; }

alexnet features -c "$run" "${@:4}"
alexnet features -c "$run" features.layer=pixels "${@:4}"
alexnet reproduce -m -c codes codes.features="'$run'" codes.layer=fc7,pixels codes.bits=28,64,128,256 seed="$seeds" \
  logger=csv hydra.sweep.dir="$out" 'hydra.sweep.subdir=${codes.layer}-${codes.bits}-seed${seed}'
alexnet report report.runs="$out" hydra.run.dir="$out/report"  # its codes.md is docs/codes.md
