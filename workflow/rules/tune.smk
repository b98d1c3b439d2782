"""Tuning: out-of-fold ensembles and labels -> tuning/{class}.json, the threshold."""


rule tune:
    input:
        manifests=RULES.manifests("tune"),
    output:
        RULES.output("tune"),
    log:
        RULES.log("tune"),
    benchmark:
        RULES.benchmark("tune")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("tune"),
    message:
        "tune {wildcards.class}"
    shell:
        "exec python -m rasterloom tune --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
