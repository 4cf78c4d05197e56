#!/usr/bin/env bash
# All runs of docs/proxies.md, one after the other; stopped at any moment, the same command goes on where it was.
#
#   scripts/proxy.sh /downloads/imagenette /fast/proxy [seeds of the ablations, default "1 2 3"]
#
# Of Imagenette's ten classes every second one is the task; the other five are what is pre-trained on.
set -euo pipefail
source=$(realpath "$1") root=$2 seeds=${3:-1 2 3}
mkdir -p "$root" && root=$(realpath "$root")
alexnet() { "${PYTHON:-python}" -m alexnet_pl "$@"; }

for split in train val; do
  number=0
  for class in "$source/$split"/*/; do
    half=task; [ $((number % 2)) = 0 ] || half=others
    number=$((number + 1))
    mkdir -p "$root/classes/$half/$split"
    ln -sfn "${class%/}" "$root/classes/$half/$split/$(basename "$class")"
  done
done
alexnet prepare -c proxy prepare.source="$root/classes/task" data.root="$root/task"
alexnet prepare -c proxy_pretrain prepare.source="$root/classes/others" data.root="$root/others"

run() { alexnet "$@" data.root="$root/task" logger=csv; }
runs=$root/runs

run ensemble -c proxy_5cnns hydra.run.dir="$runs/5cnns"
members=$(printf "$runs/5cnns/members/cnns/seed%s," 1 2 3 4 5)
for seed in 1 2; do
  run reproduce -c proxy_finetune transfer.data_roots.proxy_others="$root/others" seed=$seed hydra.run.dir="$runs/finetuned/seed$seed"
done
run ensemble -c proxy_7cnns "ensemble.members=[$members$runs/finetuned/seed1,$runs/finetuned/seed2]" hydra.run.dir="$runs/7cnns"
for seed in 1 2 3 4 5; do
  run reproduce -c proxy seed=$seed test.views=center hydra.run.dir="$runs/5cnns/members/cnns/seed$seed"
done
for seed in $seeds; do
  for variant in model.norm=false model.overlap=false model.towers=1 augment.noise=0 model.dropout=0 \
      model.without=conv2 model.without=conv3 model.without=conv4; do
    run reproduce -c proxy seed=$seed $variant hydra.run.dir="$runs/${variant/=/-}/seed$seed"
  done
done
alexnet report report.runs="$runs" hydra.run.dir="$root/report"  # its measured.md has the tables of docs/proxies.md
