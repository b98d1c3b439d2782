"""The command line: ``rasterloom STAGE`` and the tools around the stages."""

import argparse
import difflib
import errno
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from rasterloom import __version__
from rasterloom.errors import InputError, RasterloomError
from rasterloom.stages import STAGES, WORKING_FOLDER, fields_of, job_of, module_of, recomputed
from rasterloom.store.files import atomic_path
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import Store
from rasterloom.text import few

TOOLS = {
    name: name for name in ("plan", "runs", "join", "evaluate", "pack", "apply", "scenes", "verify", "gc", "schema")
}
TOOLS |= {"inspect": "inspection", "lr-range": "lr_range", "check-submission": "check_submission"}
"""The module below `rasterloom.tools` of each command that is no stage: ``HELP``, ``configure(parser)``, ``main``."""

_MAKE_ROOM = "make room (`rasterloom gc` removes artifacts that nobody uses), then run the same command again"

_NO_ROOM = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: "name another folder: for results with the key `results`, for the store with RASTERLOOM_STORE",
    errno.EISDIR: "name a file, not a folder",
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "a file stands where a folder is needed: name another path"),
    errno.EIO: "check the disk (`dmesg` says what is wrong with it), then run the same command again",
    errno.EACCES: "make it accessible, or name another results folder with the key `results`",
}
"""What a user can do about a failure of the file system."""

_MEMORY = (
    "run fewer jobs side by side (a smaller `--cores`), or give a network a smaller `batch` under `prediction` or "
    "`training`, then run the same command again"
)
"""What a user can do where memory runs out."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 a mistake (explained), 2 unusable arguments, 130 Ctrl-C."""
    # OpenMP reads it when torch loads: threads that wait for one another sleep, and leave the cores to neighbours
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser(given).parse_args(given)
    try:
        args.run(args)
    except RasterloomError as error:
        _stop(str(error))
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _stop(f"cannot write {error.filename2 or error.filename or ''}: {error.strerror}; {_NO_ROOM[error.errno]}")
    except (MemoryError, RuntimeError) as error:
        if not _memory_ran_out(error):
            raise
        _stop(f"memory ran out ({' '.join(str(error).split())[:200]}); {_MEMORY}")
    except KeyboardInterrupt:
        _stop("stopped; what was finished is kept, and the same command goes on from there", 130)
    sys.exit(0)


def _stop(said: str, code: int = 1) -> NoReturn:
    print(f"rasterloom: {said}", file=sys.stderr)
    sys.exit(code)


def _memory_ran_out(error: Exception) -> bool:
    """Whether an error is Python's or numpy's of too little memory, or torch's, of a GPU or of the machine."""
    torch_s = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    return torch_s or isinstance(error, MemoryError)


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rasterloom",
        description="From raw multi-resolution satellite images to polygons. The workflow runs the stages for you "
        "(`snakemake --cores all`); here each can be run by hand.",
    )
    parser.add_argument("--version", action="version", version=f"rasterloom {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    # Only what was asked for is imported, as jobs start often.
    for name in given[:1] if {*given[:1]} & {*STAGES, *TOOLS} else [*STAGES, *TOOLS]:
        (_add_tool if name in TOOLS else _add_stage)(commands, name)
    return parser


def _add_stage(commands: Any, stage: str) -> None:
    module = module_of(stage)
    fields = fields_of(stage)
    parser = commands.add_parser(
        stage,
        help=module.HELP,
        description=f"{module.HELP[0].upper()}{module.HELP[1:]}: writes RESULTS/{module.OUTPUT}. By hand, name what is "
        f"wanted ({', '.join('--' + name for name in fields) or 'nothing more is needed'}); the configuration is "
        "config.yaml and the files given with --configfile. Artifacts that the store has are not computed again.",
    )
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="laid over config.yaml; later ones win")
    for name in fields:
        parser.add_argument(f"--{name}", help=f"which {name}")
    workflow = parser.add_argument_group("set by the workflow instead")
    workflow.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    workflow.add_argument("--spec", help="the job's slice of the recipe as JSON, or @file")
    workflow.add_argument("--inputs", default="{}", help="paths of files that it reads, by name, as JSON, or @file")
    workflow.add_argument("--output", type=Path, help="the file to write; if --spec lists several jobs, it ends them")
    workflow.add_argument("--sources", default="{}", help="its source files as JSON, or @file")
    parser.set_defaults(run=_run_stage, stage=stage, fields=fields)


def _add_tool(commands: Any, name: str) -> None:
    module = importlib.import_module(f"rasterloom.tools.{TOOLS[name]}")
    parser = commands.add_parser(name, help=module.HELP, description=module.__doc__)
    module.configure(parser)
    parser.set_defaults(run=module.main)


def _run_stage(args: argparse.Namespace) -> None:
    from rasterloom.planning.guard import end_with_parent

    if args.spec is not None:
        end_with_parent()
        output = args.output and args.output.absolute()
        os.chdir(os.environ.get(WORKING_FOLDER, "."))  # out of a shadow folder of Snakemake
        (specs, sources, places), results = map(_argument, (args.spec, args.sources, args.inputs)), args.results
    else:
        (specs, sources, results), places, output = _by_hand(args), {}, None
    several = specs if isinstance(specs, list) else [specs]
    files = sources if isinstance(sources, list) else [sources] * len(several)
    for spec, own in zip(several, files, strict=True):
        job = job_of(spec, own, results, Store.of(results, recomputed()))
        job.places = places
        module_of(args.stage).run(job)
        job.remember(module_of(args.stage).inputs)
        job.log(f"{args.stage}: wrote {job.output}")
    if output is not None and isinstance(specs, list):
        Manifest(args.stage).write(output)
    elif output is not None and output != job.output.absolute():  # Snakemake has it elsewhere: in a storage, say
        with atomic_path(output) as copy:
            copy.write_bytes(job.output.read_bytes())


def _argument(text: str) -> Any:
    try:
        value = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise InputError(f"{text[:80]!r} is not JSON, nor @ and the path of a file of it ({error})") from None
    if not all(isinstance(entry, dict) for entry in (value if isinstance(value, list) else [value])):
        raise InputError(f"{text[:80]!r} is JSON, but not a table of keys, nor a list of such")
    return value


def _by_hand(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """Spec, sources and results folder from the configuration and the names on the command line."""
    from rasterloom.config import read_configuration
    from rasterloom.planning.graph import Dag

    names = {field: getattr(args, field) for field in args.fields}
    missing = [field for field, value in names.items() if value is None]
    wanted = module_of(args.stage).OUTPUT
    if missing:
        raise InputError(f"`rasterloom {args.stage}` needs --{' and --'.join(missing)}: it writes {wanted}")
    dag = Dag.load(read_configuration(args.configfile))
    known = [wanted.format(**found) for found in module_of(args.stage).jobs(dag)]
    if wanted.format(**names) not in known:
        nearest = difflib.get_close_matches(wanted.format(**names), known, n=len(known) or 1, cutoff=0)
        there = few(nearest, most=4) if nearest else f"nothing for `rasterloom {args.stage}` to do"
        raise InputError(f"the configuration has no {wanted.format(**names)}; it has {there}")
    # As text and back, as the workflow gives them: the order of keys in the configuration must not reach a table.
    spec, sources = dag.spec(args.stage, **names), dag.sources(args.stage, **names)
    return _argument(dag.argument(spec)), _argument(dag.argument(sources)), dag.results
