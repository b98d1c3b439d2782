# sh submit.sh CORES MEGABYTES MINUTES GPUS SCRIPT: submit a script, print the number of the job and nothing else
partition=cpu gpus=
if [ "$4" -gt 0 ]; then partition=gpu gpus="--gpus=$4"; fi
mkdir -p .snakemake/cluster_logs
exec sbatch --parsable --job-name=rasterloom --partition="$partition" --cpus-per-task="$1" --mem="$2" --time="$3" $gpus \
  --no-requeue --output=.snakemake/cluster_logs/%j.log "$5"
# PBS (not tried): qsub -N rasterloom -l select=1:ncpus="$1":mem="$2"mb:ngpus="$4",walltime="$(($3 * 60))" -- sh "$5"
