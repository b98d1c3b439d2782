"""Vectors: polygons -> vectors/{batch}.tsv and beside it one GeoPackage per scene, with one layer per class."""


rule export:
    input:
        manifests=RULES.manifests("export"),
    output:
        RESULTS / "vectors/{batch}.tsv",
    log:
        RESULTS / "logs/export/{batch}.log",
    benchmark:
        RESULTS / "benchmarks/export/{batch}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("export"),
        spec=RULES.spec("export"),
    message:
        "export {wildcards.batch} for a GIS"
    shell:
        "exec python -m rasterloom export --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
