"""Submission: polygons -> submission.csv, the rows and order of sample_submission.csv; compressed on request."""


rule submission:
    input:
        manifests=RULES.manifests("submission"),
    output:
        RESULTS / "submission.csv",
    log:
        RESULTS / "logs/submission/submission.log",
    benchmark:
        RESULTS / "benchmarks/submission/submission.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("submission"),
        spec=RULES.spec("submission"),
        sources=RULES.stamps("submission"),
    message:
        "write the submission"
    shell:
        "exec python -m rasterloom submission --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} --sources {params.sources:q} 2> {log:q}"


rule submission_gz:
    input:
        RESULTS / "submission.csv",
    output:
        RESULTS / "submission.csv.gz",
    log:
        RESULTS / "logs/submission/submission_gz.log",
    benchmark:
        RESULTS / "benchmarks/submission/submission_gz.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=lambda wildcards, attempt: 30 * attempt,
    message:
        "compress the submission"
    shell:
        "( gzip --no-name --stdout {input:q} > {output:q}.part && mv {output:q}.part {output:q} ) 2> {log:q}"
