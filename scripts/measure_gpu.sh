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
cache=${HOME:-}/.cache
if [ -z "${HOME:-}" ] || ! mkdir -p "$cache/torchinductor" 2>/dev/null || ! [ -w "$cache/torchinductor" ]; then
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
# where a slice hung is printed, and is in no slice's file; a signal to the whole group must not end tee before the rest
exec {console}> >(trap '' TERM INT HUP PIPE; exec tee -a "$results/console.log")
tee=$!
await_end() { # of a process, for at most five seconds: one that was left behind may keep tee's pipe open
  for _ in {1..50}; do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
}
finish() {
  trap '' TERM INT HUP
  kill $packer 2>/dev/null || true
  await_end $packer
  exec {console}>&-
  await_end $tee
  pack
  rm -f "$archive".partial-??????
}
trap finish EXIT
stop() {
  if [ $! = $tee ]; then exit 143; fi # the measurement has not started
  kill $! 2>/dev/null || true
}
trap stop TERM INT HUP # else bash would wait for the measurement to end
timeout --signal=TERM --kill-after=15 "$(awk "BEGIN { print 60 * $minutes + 30 }")" \
  "$python" -m alexnet_pl bench gpu bench.output="$results" bench.minutes="$minutes" "$@" >&"$console" 2>&1 {console}>&- &
wait $! || wait $! # the first returns when a signal comes
