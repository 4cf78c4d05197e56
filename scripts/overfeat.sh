#!/bin/sh
# OverFeat's comparisons on a proxy: coarse and fine stride, one to six scales, ten crops, by three seeds; then the
# report. With KEEP=1, each run's small files replace those in docs/data/evidence, of which docs/measured.md is made.
# usage: scripts/overfeat.sh IMAGENETTE FOLDER
set -e
images=$1 folder=$2
store="$folder/imagenette160"
"${PYTHON:-python}" -m alexnet_pl prepare -c overfeat_proxy prepare.source="$images" data.root="$store"
for seed in 1 2 3; do
    run="$folder/runs/overfeat$seed"
    "${PYTHON:-python}" -m alexnet_pl fit -c overfeat_proxy data.root="$store" seed=$seed logger=csv ckpt_path=auto hydra.run.dir="$run"
    for stride in coarse fine; do
        "${PYTHON:-python}" -m alexnet_pl test "$run" test.scales=1 test.stride=$stride
    done
    for scales in 1,2,4,6 1,2,3,4,5,6; do
        "${PYTHON:-python}" -m alexnet_pl test "$run" test.scales=$scales
    done
    "${PYTHON:-python}" -m alexnet_pl test "$run" test.views=ten
    [ -z "$KEEP" ] || "${PYTHON:-python}" "$(dirname "$0")/kept_runs.py" "$run" "overfeat/seed$seed"
done
"${PYTHON:-python}" -m alexnet_pl report report.runs="$folder/runs"
