#!/usr/bin/env bash
# `bench gpu` on a GPU that is lent for minutes: RESULTS.tgz is packed again every ten seconds while it runs.
#
#   scripts/measure_gpu.sh RESULTS [MINUTES, default 9] [more of bench's keys, such as data.root=FOLDER]
#
# Temporary stores and checkpoints are put in $TMPDIR, by default in memory.
set -euo pipefail
results=$1 minutes=${2:-9}
shift $(($# < 2 ? $# : 2))
export TMPDIR=${TMPDIR:-/dev/shm}
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$HOME/.cache/torchinductor} # code may not be run from /dev/shm
mkdir -p "$results"

pack() { tar czf "$results.tmp" --exclude=checkpoints "$results" && mv "$results.tmp" "$results.tgz"; }
(while sleep 10; do pack || true; done) &
packer=$!
trap 'kill $packer; wait $packer 2>/dev/null || true; pack' EXIT
timeout --signal=TERM --kill-after=15 $((60 * minutes + 30)) \
  "${PYTHON:-python}" -m alexnet_pl bench gpu bench.output="$results" bench.minutes="$minutes" "$@"
