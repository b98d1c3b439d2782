"""Registration: scene TIFFs -> registration/{scene}.json, a transform per sensor to the reference, with its confidence."""


rule register:
    input:
        manifests=RULES.manifests("register"),
    output:
        RESULTS / "registration/{scene}.json",
    log:
        RESULTS / "logs/register/{scene}.log",
    benchmark:
        RESULTS / "benchmarks/register/{scene}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("register"),
        spec=RULES.spec("register"),
        sources=RULES.stamps("register"),
    message:
        "register the sensors of {wildcards.scene}"
    shell:
        "exec python -m rasterloom register --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} --sources {params.sources:q} 2> {log:q}"
