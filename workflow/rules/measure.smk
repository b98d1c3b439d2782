"""Measurements: polygons -> summary.tsv, objects and areas."""


rule measure:
    input:
        manifests=RULES.manifests("measure"),
    output:
        RESULTS / "summary.tsv",
    log:
        RESULTS / "logs/measure/summary.log",
    benchmark:
        RESULTS / "benchmarks/measure/summary.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("measure"),
        spec=RULES.spec("measure"),
    message:
        "measure objects and areas"
    shell:
        "exec python -m rasterloom measure --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
