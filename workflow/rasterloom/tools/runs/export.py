"""Runs for TensorBoard and MLflow: the learning curve of each training, scores and recipe of each run.

One process writes them, afterwards; a run that is there in full is left as it is.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rasterloom.errors import InputError
from rasterloom.report.runs import Curve, Run, flat

_MOST_AT_ONCE = 1000
"""Metrics, and 100 parameters, that MLflow takes in one call."""


def to_tensorboard(runs: Sequence[Run], curves: Mapping[str, Mapping[str, Curve]], folder: Path) -> int:
    """Write event files: ``folder/run`` with scores and recipe, ``folder/run/member/fold`` with a learning curve.

    Parameters
    ----------
    runs : sequence of Run
    curves : by name of the run and ``member/fold``
    folder : Path
        What TensorBoard's ``--logdir`` is to name.

    Returns
    -------
    int
        How many runs were not there yet.

    Raises
    ------
    InputError
        If the package tensorboard is missing.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs the package tensorboard: python -m pip install tensorboard") from None
    new = [run for run in runs if not any((folder / run.name).glob("events*"))]  # which is written last
    for run in new:
        finished = datetime.fromisoformat(run.when).timestamp()
        for training, curve in curves[run.name].items():
            with SummaryWriter(str(folder / run.name / training)) as writer:
                for name, value, step in _points(curve):
                    writer.add_scalar(name, value, step, walltime=finished)
        with SummaryWriter(str(folder / run.name)) as writer:
            for name, value in _scores(run):
                writer.add_scalar(name, value, 0, walltime=finished)
            text = json.dumps(run.recipe, indent=1, ensure_ascii=False).replace("\n", "\n    ")
            writer.add_text("recipe", f"    {text}", 0, walltime=finished)
    return len(new)


def to_mlflow(runs: Sequence[Run], curves: Mapping[str, Mapping[str, Curve]], uri: str, results: Path) -> int:
    """Write runs of one experiment, named after the results folder: scores and curves as metrics, recipe as parameters.

    Parameters
    ----------
    runs, curves
        As for `to_tensorboard`.
    uri : str
        ``sqlite:///FILE``, or the address of a server.
    results : Path
        The results folder.

    Returns
    -------
    int
        How many runs were not there yet.

    Raises
    ------
    InputError
        If the package mlflow is missing, or cannot write there.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it reports its use over the network
    try:
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(results.name)
        experiment = client.create_experiment(results.name) if known is None else known.experiment_id
        found = client.search_runs([experiment], max_results=10_000)
        known_names = {run.info.run_name for run in found if run.info.status == "FINISHED"}
        new = [run for run in runs if run.name not in known_names]
        for run in new:
            finished = int(1000 * datetime.fromisoformat(run.when).timestamp())
            started = client.create_run(experiment, start_time=finished, run_name=run.name).info.run_id
            points = [(name, value, 0) for name, value in _scores(run)]
            for training, curve in curves[run.name].items():
                points += [(f"{training}/{name}", value, step) for name, value, step in _points(curve)]
            metrics = [Metric(name, value, finished, step) for name, value, step in points]
            for first in range(0, len(metrics), _MOST_AT_ONCE):
                client.log_batch(started, metrics=metrics[first : first + _MOST_AT_ONCE])
            params = [Param(path.replace("[", ".").replace("]", ""), value) for path, value in flat(run.recipe)]
            for first in range(0, len(params), 100):
                client.log_batch(started, params=params[first : first + 100])
            client.set_terminated(started, end_time=finished)
    except ImportError:  # of mlflow, or of what it takes to write to a database
        raise InputError("--mlflow needs packages: python -m pip install mlflow-skinny sqlalchemy alembic") from None
    except MlflowException as error:
        raise InputError(f"MLflow cannot write to {uri}: {str(error).splitlines()[0]}") from None
    return len(new)


def _scores(run: Run) -> Iterator[tuple[str, float]]:
    for part, scores in run.scores.items():
        yield from ((f"{part}/{name}", value) for name, value in scores.items() if value is not None)


def _points(curve: Curve) -> Iterator[tuple[str, float, int]]:
    """Name, value and step of each number of a learning curve."""
    for row in curve:
        step = int(row["step"] or 0)
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float) and name != "step"}
        yield from ((name, value, step) for name, value in numbers.items())
