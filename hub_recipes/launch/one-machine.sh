#!/usr/bin/env bash
# Run a recipe on the GPUs of one machine.
#   hub_recipes/launch/one-machine.sh hub_recipes/scifact.yaml [options of hf-hardneg run]
# PROCESSES=4 takes another number than the configuration's. The bytes that come out do not depend
# on it.
set -euo pipefail

here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 1 ]]; then
  echo "usage: $0 RECIPE [options of hf-hardneg run]" >&2
  exit 2
fi

options=(--config_file "$here/one-machine.yaml")
if [[ -n "${PROCESSES:-}" ]]; then
  options+=(--num_processes "$PROCESSES")
fi
# python -m hf_hardneg run RECIPE, in every process
exec accelerate launch "${options[@]}" --module hf_hardneg run "$@"
