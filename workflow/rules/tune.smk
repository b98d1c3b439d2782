"""Tuning: out-of-fold ensembles and labels -> tuning/{class}.json, the threshold."""


rule tune:
    input:
        manifests=RULES.manifests("tune"),
    output:
        RESULTS / "tuning/{class}.json",
    log:
        RESULTS / "logs/tune/{class}.log",
    benchmark:
        RESULTS / "benchmarks/tune/{class}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("tune"),
        spec=RULES.spec("tune"),
    message:
        "tune {wildcards.class}"
    shell:
        "exec python -m rasterloom tune --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
