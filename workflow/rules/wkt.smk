"""Tables of WKT: polygons -> wkt.csv (every class) and wkt/{class}.csv, one row an image and class."""


rule wkt:
    input:
        manifests=RULES.manifests("wkt"),
    output:
        RESULTS / "{file}",
    log:
        RESULTS / "logs/wkt/{file}.log",
    benchmark:
        RESULTS / "benchmarks/wkt/{file}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("wkt"),
        spec=RULES.spec("wkt"),
    message:
        "write {wildcards.file}"
    shell:
        "exec python -m rasterloom wkt --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
