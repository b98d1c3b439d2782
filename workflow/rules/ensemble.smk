"""Ensembles: predictions of a class's members -> ensembles/{class}/{batch}.json, their mean."""


rule ensemble:
    input:
        manifests=RULES.manifests("ensemble"),
    output:
        RULES.output("ensemble"),
    log:
        RULES.log("ensemble"),
    benchmark:
        RULES.benchmark("ensemble")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("ensemble"),
    message:
        "average the members of {wildcards.class} for {wildcards.batch}"
    shell:
        "exec python -m rasterloom ensemble --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
