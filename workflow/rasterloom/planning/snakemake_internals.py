"""All that reaches into Snakemake beyond its documented interface, each with the reason.

Tests of the whole workflow notice if one of these stops working; ``pyproject.toml`` keeps Snakemake below 10.
"""

from typing import Any


def lift_rate_limit(workflow: Any) -> None:
    """Remove Snakemake's default limit of 100 jobs per second; a limit that a user chose stays.

    Snakemake 9 starts a timer at each evaluation of which jobs may run, and each timer causes another evaluation. Their
    number grows with every job that ends: after some hundred jobs they take a quarter of a core. No setting of
    ``--max-jobs-per-timespan`` avoids this: the number of jobs does not matter, a longer time span only delays the
    timers, and the run ends when the last of them does (measured: ``1000000/20s`` ends 20 s after the last job). A
    profile cannot set it to nothing either, as Snakemake ignores empty values there.

    Parameters
    ----------
    workflow : Snakemake's workflow, whose run starts
    """
    limiter = getattr(workflow.scheduler, "job_rate_limiter", None)
    if limiter is not None and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def limit_gpus(workflow: Any, count: int) -> None:
    """Let as many jobs that ask for a GPU run side by side as there are, unless the user said otherwise.

    Without a limit, waiting trainings hold the cores. Has to come before Snakemake makes its scheduler, which copies
    the limits. On a cluster this machine's GPUs say nothing.

    Parameters
    ----------
    workflow : Snakemake's workflow, whose files are read
    count : GPUs of this machine; 0: no limit, as networks compute on the cores
    """
    if (
        count
        and workflow.is_main_process
        and not submits(workflow)
        and "gpu" not in workflow.resource_settings.resources
    ):
        workflow.register_resource("gpu", count)


def prioritise(workflow: Any, rule: str) -> None:
    """Run the jobs that lead to those of a rule before all others, whose start the others wait for the longest.

    A priority of a rule, as Snakemake has it, would count for all its jobs, and `--prioritize` is the user's. Has to
    come while the graph is built.

    Parameters
    ----------
    workflow : Snakemake's workflow
    rule : its name here; where the workflow is a module, it may have a prefix
    """
    workflow.dag.priorityrules.update(own for own in workflow.rules if own.name.endswith(rule))


def submits(workflow: Any) -> bool:
    """Whether a run submits its jobs to a cluster."""
    return workflow.resource_settings.nodes is not None


def placing(workflow: Any) -> Any:
    """A function that says where a file that rules declare lies: elsewhere in a module with a ``prefix``.

    Snakemake prefixes what rules declare, not what their functions give beside it. Has to be asked while it reads the
    workflow's files.
    """
    return workflow.modifier.path_modifier.replace_prefix


def in_storage(workflow: Any) -> bool:
    """Whether what rules declare lies in a storage, from which each job gets copies, not in the results folder."""
    return workflow.storage_settings.default_storage_provider is not None


def asks_for(workflow: Any, output: str) -> bool:
    """Whether a file is among what a run is to have in the end, whether its job ran or had run before."""
    return any(str(path) == output for job in workflow.dag.jobs for path in job.output)


def building(workflow: Any) -> tuple[bool, bool] | None:
    """Whether Snakemake builds a graph in which what is there need not run, and whether it runs.

    It need not in a run or a dry run, unless a user forces jobs; a report or a list of outputs shows it. From then on
    Snakemake runs what is missing, what is forced, and what reads files of these. It compares parameters and sets of
    inputs with its records of an output, which lie in ``.snakemake``, not with the results: they say nothing of results
    that were copied or put back, and too much where a manifest was found.

    Parameters
    ----------
    workflow : Snakemake's workflow

    Returns
    -------
    tuple of bool, or None
        None if no graph is built, or that of a single job of a run, or of files in a storage: its records count there.
    """
    if getattr(workflow, "dag", None) is None or not workflow.is_main_process or in_storage(workflow):
        return None
    from snakemake.settings.types import RerunTrigger

    settings = workflow.dag_settings
    settings.rerun_triggers = frozenset([RerunTrigger.MTIME])
    forced = settings.forceall or settings.forcerun or settings.forcetargets
    lean = not forced and workflow.executor_plugin is not None and not workflow.touch
    return lean, lean and not workflow.dryrun


def force(workflow: Any, output: str) -> None:
    """Have Snakemake run the job of an output that is there, while it builds its graph.

    No supported way forces single jobs then: parameters and the set of inputs count only where there is a record; a
    newer input counts only if its checksum is not the recorded one; an input of one run alone runs the job again in the
    next run; and a dry run, which must show the same jobs, may delete and touch nothing.
    """
    workflow.dag.forcefiles.add(output)
