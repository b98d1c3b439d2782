"""Masks: labels -> masks/{scale}/{target}/{scene}.json, the covered fraction of each pixel."""


rule mask:
    input:
        manifests=RULES.manifests("mask"),
    output:
        RULES.output("mask"),
    log:
        RULES.log("mask"),
    benchmark:
        RULES.benchmark("mask")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("mask"),
    message:
        "mask {wildcards.target} of {wildcards.scene} at {wildcards.scale}"
    shell:
        "exec python -m rasterloom mask --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
