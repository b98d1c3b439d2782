"""Quality: placements, labels -> quality/{table}.tsv, findings about the inputs, and each registration."""


rule quality:
    input:
        manifests=RULES.manifests("quality"),
    output:
        RESULTS / "quality/{table}.tsv",
    log:
        RESULTS / "logs/quality/{table}.log",
    benchmark:
        RESULTS / "benchmarks/quality/{table}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("quality"),
        spec=RULES.spec("quality"),
    message:
        "list what the table quality/{wildcards.table}.tsv holds"
    shell:
        "exec python -m rasterloom quality --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
