"""Stacks: scene TIFFs and registration -> stacks/{scale}/{scene}.json, all sensors on one grid."""


rule stack:
    input:
        manifests=RULES.manifests("stack"),
    output:
        RESULTS / "stacks/{scale}/{scene}.json",
    log:
        RESULTS / "logs/stack/{scale}/{scene}.log",
    benchmark:
        RESULTS / "benchmarks/stack/{scale}/{scene}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("stack"),
        spec=RULES.spec("stack"),
        sources=RULES.stamps("stack"),
    message:
        "stack {wildcards.scene} at {wildcards.scale}"
    shell:
        "exec python -m rasterloom stack --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} --sources {params.sources:q} 2> {log:q}"
