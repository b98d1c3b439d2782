"""Tables of WKT: polygons -> wkt.csv (every class) and wkt/{class}.csv, one row an image and class."""


rule wkt:
    input:
        manifests=RULES.manifests("wkt"),
    output:
        RULES.output("wkt"),
    log:
        RULES.log("wkt"),
    benchmark:
        RULES.benchmark("wkt")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("wkt"),
    message:
        "write {wildcards.file}"
    shell:
        "exec python -m rasterloom wkt --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
