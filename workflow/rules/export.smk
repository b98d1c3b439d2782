"""Vectors: polygons -> vectors/{batch}.tsv and a GeoPackage a scene beside it, a layer a class."""


rule export:
    input:
        manifests=RULES.manifests("export"),
    output:
        RULES.output("export"),
    log:
        RULES.log("export"),
    benchmark:
        RULES.benchmark("export")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("export"),
    message:
        "export {wildcards.batch} for a GIS"
    shell:
        "exec python -m rasterloom export --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
