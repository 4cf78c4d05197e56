#!/usr/bin/env bash
# docs/boxes.md on drawn scenes: classifiers and box regressors of all seeds, then detectors, each tested in several ways.
# If interrupted, run the same command again to resume. With KEEP=1, each run's small files replace those in
# docs/data/evidence, of which docs/boxes.md is made.
#
#   scripts/boxes.sh OUT [seeds, default "0 1 2"] [more of any recipe's keys, such as trainer.accelerator=cpu]
set -euo pipefail
mkdir -p "$1" && out=$(realpath "$1") seeds=${2:-0 1 2}
alexnet() { "${PYTHON:-python}" -m alexnet_pl "$@"; }
test_once() { # NAME RUN [keys]: `test`, unless that was done under this name
  local mark=$2/tested-$1
  [ -e "$mark" ] || { alexnet test -c "${@:2}" && touch "$mark"; }
}

[ -e data/scenes_one ] || alexnet prepare -c boxes_demo_classifier prepare.source=scenes
[ -e data/scenes ] || alexnet prepare -c boxes_demo prepare.source=scenes
for seed in $seeds; do
  net=$out/classifier-$seed shared=$out/localise-shared-$seed
  alexnet reproduce -c boxes_demo_classifier seed="$seed" hydra.run.dir="$net" "${@:3}"
  for heads in shared per_class; do
    own=$([ "$heads" = per_class ] && echo true || echo false)
    alexnet reproduce -c boxes_demo_localise seed="$seed" boxes.per_class="$own" transfer.weights="$net" \
      hydra.run.dir="$out/localise-$heads-$seed" "${@:3}"
  done
  test_once center "$shared" detect.positions=center 'detect.scales=[1]'
  test_once two "$shared" 'detect.scales=[1,4]'
  test_once six "$shared" 'detect.scales=[1,2,3,4,5,6]'
  test_once nms "$shared" detect.combine=nms
  test_once literal "$shared" detect.score=literal detect.threshold=100
done
for seed in $seeds; do
  for negatives in random_and_hard none random; do
    case $negatives in
      random_and_hard) counts="boxes.random_negatives=8 boxes.hard_negatives=8" ;;
      random) counts="boxes.random_negatives=16 boxes.hard_negatives=0" ;;
      none) counts="boxes.random_negatives=0 boxes.hard_negatives=0" ;;
    esac
    # shellcheck disable=SC2086
    alexnet reproduce -c boxes_demo seed="$seed" $counts transfer.weights="$out/localise-shared-$seed" \
      hydra.run.dir="$out/detect-$negatives-$seed" "${@:3}"
    test_once nms "$out/detect-$negatives-$seed" detect.combine=nms
  done
done
for run in "$out"/localise-* "$out"/detect-*; do
  [ -z "${KEEP:-}" ] || "${PYTHON:-python}" "$(dirname "$0")/kept_runs.py" "$run" "boxes/$(basename "$run")"
done
alexnet report report.runs="$out" hydra.run.dir="$out/report"
