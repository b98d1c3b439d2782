"""Report: everything -> report/index.html, pages and pictures."""


rule report:
    input:
        manifests=RULES.manifests("report"),
    output:
        report(
            RULES.output("report"),
            caption="../report/report.rst",
            category="Report",
        ),
    log:
        RULES.log("report"),
    benchmark:
        RULES.benchmark("report")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("report"),
    message:
        "write the report"
    shell:
        "exec python -m rasterloom report --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
