"""Submission: polygons -> submission.csv, the rows and order of sample_submission.csv."""


rule submission:
    input:
        manifests=RULES.manifests("submission"),
        sources=RULES.sources("submission"),
    output:
        RULES.output("submission"),
    log:
        RULES.log("submission"),
    benchmark:
        RULES.benchmark("submission")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("submission"),
        sources=RULES.stamps("submission"),
    message:
        "write the submission"
    shell:
        "exec python -m rasterloom submission --results {params.results:q}"
        " --spec {params.spec:q}"
        " --sources {params.sources:q} 2> {log:q}"
