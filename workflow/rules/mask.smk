"""Masks: labels -> masks/{scale}/{target}/{scene}.json, the covered fraction of each pixel."""


rule mask:
    input:
        manifests=RULES.manifests("mask"),
    output:
        RESULTS / "masks/{scale}/{target}/{scene}.json",
    log:
        RESULTS / "logs/mask/{scale}/{target}/{scene}.log",
    benchmark:
        RESULTS / "benchmarks/mask/{scale}/{target}/{scene}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("mask"),
        spec=RULES.spec("mask"),
    message:
        "mask {wildcards.target} of {wildcards.scene} at {wildcards.scale}"
    shell:
        "exec python -m rasterloom mask --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
