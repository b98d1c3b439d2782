"""Labels: the source's tables or files -> labels/{class}.json, polygons in reference pixels, an item a scene."""


rule label:
    input:
        manifests=RULES.manifests("label"),
        sources=RULES.sources("label"),
    output:
        RULES.output("label"),
    log:
        RULES.log("label"),
    benchmark:
        RULES.benchmark("label")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("label"),
        sources=RULES.stamps("label"),
    message:
        "read the labels of {wildcards.class}"
    shell:
        "exec python -m rasterloom label --results {params.results:q}"
        " --spec {params.spec:q}"
        " --sources {params.sources:q} 2> {log:q}"
