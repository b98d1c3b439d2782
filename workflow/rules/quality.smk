"""Quality: registrations, labels -> quality/inputs.tsv, what is odd about the images and labels."""


rule quality:
    input:
        manifests=RULES.manifests("quality"),
    output:
        RESULTS / "quality/inputs.tsv",
    log:
        RESULTS / "logs/quality/inputs.log",
    benchmark:
        RESULTS / "benchmarks/quality/inputs.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("quality"),
    message:
        "list what is odd about the inputs"
    shell:
        "exec python -m rasterloom quality --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
