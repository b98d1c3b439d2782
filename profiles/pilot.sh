#!/bin/bash
# One allocation for a whole run: `sbatch profiles/pilot.sh --configfile presets/demo.yaml`, in this folder. Snakemake
# runs in it as on one machine, as many trainings side by side as it has GPUs. Fit the lines below to your site.
# Submit it several times for a run of several days: the next one waits for the one before, and goes on.
#SBATCH --job-name=rasterloom-pilot
#SBATCH --dependency=singleton
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --gpus=4
#SBATCH --cpus-per-task=32
#SBATCH --mem=128G
#SBATCH --time=1-00:00:00
exec snakemake "$@" --cores "$SLURM_CPUS_PER_TASK" --keep-going --resources mem_mb="$SLURM_MEM_PER_NODE"
