"""Statistics: registration of every named scene -> statistics/statistics.json, mean and deviation per channel."""


rule statistics:
    input:
        manifests=RULES.manifests("statistics"),
    output:
        RULES.output("statistics"),
    log:
        RULES.log("statistics"),
    benchmark:
        RULES.benchmark("statistics")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("statistics"),
    message:
        "merge the statistics of the channels"
    shell:
        "exec python -m rasterloom statistics --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
