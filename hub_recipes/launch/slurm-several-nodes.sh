#!/usr/bin/env bash
#SBATCH --job-name=hf-hardneg
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --output=hf-hardneg-%j.log
# Run a recipe on several nodes of a SLURM cluster, from the repository's folder:
#   sbatch hub_recipes/launch/slurm-several-nodes.sh hub_recipes/msmarco-nv-retriever.yaml [options]
# HF_HARDNEG_CACHE must lie on a file system that all nodes share.
# SLURM copies this script elsewhere, so LAUNCH_FOLDER says where its configuration lies.
set -euo pipefail

folder="${LAUNCH_FOLDER:-${SLURM_SUBMIT_DIR:-$PWD}/hub_recipes/launch}"
if [[ $# -lt 1 ]]; then
  echo "usage: sbatch $0 RECIPE [options of hf-hardneg run]" >&2
  exit 2
fi

nodes="${SLURM_NNODES:-2}"
gpus="${SLURM_GPUS_ON_NODE:-4}"
hosts="$(scontrol show hostnames "$SLURM_JOB_NODELIST")" # no "head": it would end scontrol, and us
main="${hosts%%$'\n'*}"
export FOLDER="$folder" NODES="$nodes" PROCESSES="$((nodes * gpus))" MAIN_ADDRESS="$main"
export MAIN_PORT="${MAIN_PORT:-29500}"

# One launcher a node; SLURM_PROCID is the node's number. The rest of the line is the recipe.
# shellcheck disable=SC2016  # the variables are those of the nodes
srun --kill-on-bad-exit=1 bash -c '
  set -euo pipefail
  # python -m hf_hardneg run RECIPE, in every process
  exec accelerate launch \
    --config_file "$FOLDER/slurm-several-nodes.yaml" \
    --num_machines "$NODES" \
    --num_processes "$PROCESSES" \
    --machine_rank "$SLURM_PROCID" \
    --main_process_ip "$MAIN_ADDRESS" \
    --main_process_port "$MAIN_PORT" \
    --module hf_hardneg run "$@"
' launch "$@"
