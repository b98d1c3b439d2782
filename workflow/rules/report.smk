"""Report: everything -> report/index.html, pages and pictures."""


rule report:
    input:
        manifests=RULES.manifests("report"),
    output:
        report(
            RESULTS / "report/index.html",
            caption="../report/report.rst",
            category="Report",
        ),
    log:
        RESULTS / "logs/report/index.log",
    benchmark:
        RESULTS / "benchmarks/report/index.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("report"),
        spec=RULES.spec("report"),
    message:
        "write the report"
    shell:
        "exec python -m rasterloom report --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
