#!/usr/bin/env bash
# `bench gpu` on a GPU that is available for a few minutes: an archive of RESULTS is written every ten seconds while it runs.
#
#   scripts/measure_gpu.sh RESULTS [MINUTES, default 8] [more of bench's keys, such as data.root=FOLDER]
#
# ARCHIVE: the archive's path, by default RESULTS.tgz. TMPDIR: folder for temporary stores and checkpoints, by default in
# memory if there is room. Wheels of scripts/gpu_kit.py in build/gpu-kit are installed into a temporary folder.
set -euo pipefail
if [[ ! ${2:-8} =~ ^[0-9]+(\.[0-9]+)?$ ]]; then
  echo "measure_gpu.sh: ${2}: a number of minutes" >&2
  exit 2
fi
results=$1 minutes=${2:-8}
shift $(($# < 2 ? $# : 2))
archive=${ARCHIVE:-$results.tgz}
python=${PYTHON:-$(command -v python3 || command -v python)}
mkdir -p "$results"

room() { df --output=avail -k "$1" 2>/dev/null | tail -1; }
if [ -z "${TMPDIR:-}" ]; then
  TMPDIR=/tmp
  if [ "$(room /dev/shm || echo 0)" -gt 12000000 ]; then TMPDIR=/dev/shm; fi
  export TMPDIR
fi
# code may not be run from /dev/shm; a home folder may be read-only, and each process would draw up its list of fonts anew
cache=${HOME:-/nowhere}/.cache
if ! mkdir -p "$cache/torchinductor" 2>/dev/null || ! [ -w "$cache/torchinductor" ]; then
  cache=/tmp/cache-$(id -u)
  export MPLCONFIGDIR=${MPLCONFIGDIR:-$cache/matplotlib}
fi
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$cache/torchinductor}
export TRITON_CACHE_DIR=${TRITON_CACHE_DIR:-$TORCHINDUCTOR_CACHE_DIR/triton}
if compgen -G "build/gpu-kit/wheels/*.whl" >/dev/null; then
  site=$(mktemp -d -p /tmp)
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" build/gpu-kit/wheels/*.whl
  export PYTHONPATH="$site:$PWD${PYTHONPATH:+:$PYTHONPATH}"
fi
"$python" -c "import alexnet_pl.bench.gpu_suite" # a missing package ends here, before the clock starts

pack() {
  local partial
  partial=$(mktemp "$archive.partial-XXXXXX")
  tar czf "$partial" --exclude=checkpoints -C "$(dirname "$results")" "$(basename "$results")" && mv "$partial" "$archive"
}
(while sleep 10; do pack || true; done) &
packer=$!
trap 'kill $packer; wait $packer 2>/dev/null || true; pack; rm -f "$archive".partial-??????' EXIT
timeout --signal=TERM --kill-after=15 "$(awk "BEGIN { print 60 * $minutes + 30 }")" \
  "$python" -m alexnet_pl bench gpu bench.output="$results" bench.minutes="$minutes" "$@" \
  > >(tee -a "$results/console.log") 2>&1 & # where a slice hung is printed, and is in no slice's file
measuring=$!
trap 'kill $measuring' TERM INT # else bash would wait for the measurement to end
wait $measuring || wait $measuring # the first returns when a signal comes
