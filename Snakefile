"""rasterloom: raw multi-resolution images in, scored polygons out. This file is the table of contents."""

import sys


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


container: "rasterloom.sif"  # for `--sdm apptainer` alone: docs/clusters.md


sys.path.insert(0, f"{workflow.current_basedir.get_path_or_uri(secret_free=True)}/workflow")
from rasterloom.planning.guard import guarded
from rasterloom.planning.rules import Rules

RULES = guarded(Rules.load)(config, workflow.configfiles, workflow)
RESULTS = RULES.declared


include: "workflow/rules/register.smk"
include: "workflow/rules/place.smk"
include: "workflow/rules/stack.smk"
include: "workflow/rules/normalisation.smk"
include: "workflow/rules/label.smk"
include: "workflow/rules/mask.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/weigh.smk"
include: "workflow/rules/ensemble.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/vectorise.smk"
include: "workflow/rules/wkt.smk"
include: "workflow/rules/submission.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/quality.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/sanity.smk"


wildcard_constraints:
    **RULES.wildcard_constraints,


rule all:
    default_target: True
    input:
        RULES.targets,
    params:
        results=RULES.folder,
    message:
        "everything is there: begin with {params.results}/report/index.html"


onstart:
    guarded(RULES.start)()


onerror:
    guarded(RULES.explain)(log)


onsuccess:
    guarded(RULES.finish)()
