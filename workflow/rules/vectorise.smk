"""Polygons: ensembles and tuning -> polygons/{class}/{batch}.json, sub-pixel outlines."""


rule vectorise:
    input:
        manifests=RULES.manifests("vectorise"),
    output:
        RULES.output("vectorise"),
    log:
        RULES.log("vectorise"),
    benchmark:
        RULES.benchmark("vectorise")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("vectorise"),
    message:
        "vectorise {wildcards.class} of {wildcards.batch}"
    shell:
        "exec python -m rasterloom vectorise --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
