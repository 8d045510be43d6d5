#!/usr/bin/env bash
# Run a recipe on several machines. Start it on each of them, with its number from 0:
#   MAIN_ADDRESS=10.0.0.1 RANK=0 hub_recipes/launch/several-machines.sh RECIPE [options]
# The machines need the recipe and its files at the same place, and one folder that they share as
# HF_HARDNEG_CACHE. HF_HOME may be each machine's own. Machine 0 writes the set.
# MACHINES and PROCESSES (over all machines) take other numbers than the configuration's.
set -euo pipefail

here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 1 ]]; then
  echo "usage: MAIN_ADDRESS=HOST RANK=N $0 RECIPE [options of hf-hardneg run]" >&2
  exit 2
fi
: "${MAIN_ADDRESS:?the address of machine 0}"
: "${RANK:?the number of this machine, from 0}"

options=(
  --config_file "$here/several-machines.yaml"
  --main_process_ip "$MAIN_ADDRESS"
  --main_process_port "${MAIN_PORT:-29500}"
  --machine_rank "$RANK"
)
if [[ -n "${MACHINES:-}" ]]; then
  options+=(--num_machines "$MACHINES")
fi
if [[ -n "${PROCESSES:-}" ]]; then
  options+=(--num_processes "$PROCESSES")
fi
# python -m hf_hardneg run RECIPE, in every process
exec accelerate launch "${options[@]}" --module hf_hardneg run "$@"
