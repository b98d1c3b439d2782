"""Polygons: ensembles and tuning -> polygons/{class}/{batch}.json, sub-pixel outlines."""


rule vectorise:
    input:
        manifests=RULES.manifests("vectorise"),
    output:
        RESULTS / "polygons/{class}/{batch}.json",
    log:
        RESULTS / "logs/vectorise/{class}/{batch}.log",
    benchmark:
        RESULTS / "benchmarks/vectorise/{class}/{batch}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("vectorise"),
        spec=RULES.spec("vectorise"),
    message:
        "vectorise {wildcards.class} of {wildcards.batch}"
    shell:
        "exec python -m rasterloom vectorise --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
