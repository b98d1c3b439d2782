"""Ensembles: predictions of a class's members -> ensembles/{class}/{batch}.json, their mean."""


rule ensemble:
    input:
        manifests=RULES.manifests("ensemble"),
    output:
        RESULTS / "ensembles/{class}/{batch}.json",
    log:
        RESULTS / "logs/ensemble/{class}/{batch}.log",
    benchmark:
        RESULTS / "benchmarks/ensemble/{class}/{batch}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("ensemble"),
        spec=RULES.spec("ensemble"),
    message:
        "average the members of {wildcards.class} for {wildcards.batch}"
    shell:
        "exec python -m rasterloom ensemble --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
