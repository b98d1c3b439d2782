"""Measurements: polygons -> summary.tsv, objects and areas."""


rule measure:
    input:
        manifests=RULES.manifests("measure"),
    output:
        RULES.output("measure"),
    log:
        RULES.log("measure"),
    benchmark:
        RULES.benchmark("measure")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("measure"),
    message:
        "measure objects and areas"
    shell:
        "exec python -m rasterloom measure --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
