"""Folds: labels -> folds/{group}.json, which scenes train and which validate."""


rule split:
    input:
        manifests=RULES.manifests("split"),
    output:
        RESULTS / "folds/{group}.json",
    log:
        RESULTS / "logs/split/{group}.log",
    benchmark:
        RESULTS / "benchmarks/split/{group}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("split"),
        spec=RULES.spec("split"),
    message:
        "divide the labelled scenes for {wildcards.group}"
    shell:
        "exec python -m rasterloom split --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
