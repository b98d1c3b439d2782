"""Labels: the source's tables or files -> labels/{class}.json, polygons in reference pixels, one artifact per scene."""


rule label:
    input:
        manifests=RULES.manifests("label"),
    output:
        RESULTS / "labels/{class}.json",
    log:
        RESULTS / "logs/label/{class}.log",
    benchmark:
        RESULTS / "benchmarks/label/{class}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("label"),
        spec=RULES.spec("label"),
        sources=RULES.stamps("label"),
    message:
        "read the labels of {wildcards.class}"
    shell:
        "exec python -m rasterloom label --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} --sources {params.sources:q} 2> {log:q}"
