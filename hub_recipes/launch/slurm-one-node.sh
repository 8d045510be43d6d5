#!/usr/bin/env bash
#SBATCH --job-name=hf-hardneg
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --output=hf-hardneg-%j.log
# Run a recipe on one node of a SLURM cluster, from the repository's folder:
#   sbatch hub_recipes/launch/slurm-one-node.sh hub_recipes/scifact.yaml [options]
# SLURM copies this script elsewhere, so LAUNCH_FOLDER says where its configuration lies.
set -euo pipefail

folder="${LAUNCH_FOLDER:-${SLURM_SUBMIT_DIR:-$PWD}/hub_recipes/launch}"
if [[ $# -lt 1 ]]; then
  echo "usage: sbatch $0 RECIPE [options of hf-hardneg run]" >&2
  exit 2
fi

options=(--config_file "$folder/slurm-one-node.yaml")
if [[ -n "${SLURM_GPUS_ON_NODE:-}" ]]; then
  options+=(--num_processes "$SLURM_GPUS_ON_NODE")
fi
# python -m hf_hardneg run RECIPE, in every process
exec accelerate launch "${options[@]}" --module hf_hardneg run "$@"
