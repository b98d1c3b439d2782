"""rasterloom: raw multi-resolution images in, scored polygons out. This file is the table of contents."""

import sys
from pathlib import Path


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


# Jobs run `python -m rasterloom STAGE` with this run's interpreter (or a conda environment's, which goes before it).
sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from rasterloom.guard import guarded
from rasterloom.rules import Rules, use_library

use_library()
RULES = guarded(Rules.load)(config)


include: "workflow/rules/register.smk"
include: "workflow/rules/stack.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/label.smk"
include: "workflow/rules/mask.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/ensemble.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/vectorise.smk"
include: "workflow/rules/wkt.smk"
include: "workflow/rules/submission.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"


wildcard_constraints:
    **RULES.wildcard_constraints,


rule all:
    default_target: True
    input:
        RULES.targets,
    message:
        "everything is there: begin with {RULES.results}/report/index.html"


onstart:
    guarded(RULES.start)()


onerror:
    guarded(RULES.explain)(log)
