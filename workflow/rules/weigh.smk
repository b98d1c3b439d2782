"""Weights: out-of-fold predictions of a class's members and labels -> weights/{class}.json."""


rule weigh:
    input:
        manifests=RULES.manifests("weigh"),
    output:
        RESULTS / "weights/{class}.json",
    log:
        RESULTS / "logs/weigh/{class}.log",
    benchmark:
        RESULTS / "benchmarks/weigh/{class}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("weigh"),
        spec=RULES.spec("weigh"),
    message:
        "weigh the members of {wildcards.class}"
    shell:
        "exec python -m rasterloom weigh --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
