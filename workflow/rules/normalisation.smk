"""Statistics: registration of every named scene -> statistics/statistics.json, mean and deviation per channel."""


rule normalisation:
    input:
        manifests=RULES.manifests("normalisation"),
    output:
        RESULTS / "statistics/statistics.json",
    log:
        RESULTS / "logs/normalisation/normalisation.log",
    benchmark:
        RESULTS / "benchmarks/normalisation/normalisation.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("normalisation"),
    message:
        "merge the statistics of each channel"
    shell:
        "exec python -m rasterloom normalisation --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
