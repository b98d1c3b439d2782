"""Describe a data set before a run: scenes, sensors, sizes, types, value ranges, coordinate systems, labels and
findings. Draft a sheet and a configuration from a folder of images.

DATA is a folder in the layout of the Dstl contest, a sheet (.tsv), any folder of images (GeoTIFF, JPEG 2000, PNG, ...)
with masks and vector files in it, or a single file. Without DATA the command inspects the data set of config.yaml, with
the files of --configfile laid over it. The command reads every pixel of small data sets, and strips of large ones. It
ends with code 1 if something (marked with !) would stop a run, else 0.
"""

import argparse
import sys
from pathlib import Path

from rasterloom.errors import InputError, MissingInputError
from rasterloom.report.findings import STOPS, Finding
from rasterloom.text import counted, now_and_then
from rasterloom.tools.inspection.found import DSTL_SIGNS, Found, from_configuration, from_dstl, from_sheet

HELP = "describe a data set; draft a scene table for a folder"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rasterloom inspect`` to a parser."""
    parser.add_argument(
        "data", nargs="?", type=Path, metavar="DATA", help="folder, sheet or file (default: config.yaml's)"
    )
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="laid over config.yaml; without DATA")
    parser.add_argument("--full", action="store_true", help="read every pixel, however many there are")
    parser.add_argument("--all", action="store_true", help="list every scene, and every place of a finding")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE.tsv", help="write a first sheet of a folder, and beside it a configuration"
    )


def main(args: argparse.Namespace) -> None:
    """Inspect and print; InputError (code 1) if something would stop a run."""
    from rasterloom.tools.inspection.first import check_free, write_first
    from rasterloom.tools.inspection.lines import report
    from rasterloom.tools.inspection.survey import survey

    if args.data is not None and args.configfile:
        raise InputError("inspect: give DATA, or --configfile to inspect the configuration's data set, not both")
    if args.sheet is not None:
        check_free(args.data, args.sheet)
    found = understand(args.data, args.configfile)
    say = now_and_then()
    seen = survey(found, args.full, lambda done, total, what: say(f"inspect: {done}/{total} {what}"))
    findings = list(dict.fromkeys([*found.findings, *seen.findings]))
    for line in report(found, seen, findings, args.all):
        print(line)
    following = found.following if args.sheet is None else write_first(found, seen, args.sheet)
    stops = sum(finding.finding in STOPS for finding in findings)
    print("\nnext")
    for line in [*(["correct what is marked with !, then"] if stops and args.sheet is None else []), *following]:
        print(f"  {line}")
    if stops:
        sys.stdout.flush()
        raise InputError(f"{counted(stops, 'error')} would stop a run: see the lines marked with !")


def understand(data: Path | None, configfiles: list[Path]) -> Found:
    """What the arguments name, as scenes and sensors.

    Raises
    ------
    MissingInputError, InputError, ConfigError
        If it is not there, or nothing that can be inspected.
    """
    from rasterloom.tools.inspection.folder import from_file, from_folder

    if data is None:
        return from_configuration(configfiles)
    if data.is_file():
        return from_sheet(data) if data.suffix.lower() in {".tsv", ".tab", ".txt"} else from_file(data)
    if not data.is_dir():
        raise MissingInputError(f"{data} is not there: name a folder, a sheet (.tsv) or an image")
    if not any((data / name).exists() for name in DSTL_SIGNS):
        return from_folder(data)
    contest = from_dstl(data)
    if isinstance(contest, Found):
        return contest
    found = from_folder(data)
    detail = f"the folder looks like the contest's, but a run would stop: {contest}"
    found.findings.insert(0, Finding("", "", "", "error", detail))
    found.following = [f"rasterloom inspect {data}   again"]
    return found
