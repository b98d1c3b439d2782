"""Folds: labels -> folds/{group}.json, which scenes train and which validate."""


rule split:
    input:
        manifests=RULES.manifests("split"),
    output:
        RULES.output("split"),
    log:
        RULES.log("split"),
    benchmark:
        RULES.benchmark("split")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("split"),
    message:
        "divide the labelled scenes for {wildcards.group}"
    shell:
        "exec python -m rasterloom split --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
