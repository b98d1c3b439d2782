"""Score: polygons and labels -> score.tsv, pooled Jaccard by class and by scene."""


rule score:
    input:
        manifests=RULES.manifests("score"),
    output:
        report(RULES.output("score"), caption="../report/score.rst", category="Score"),
    log:
        RULES.log("score"),
    benchmark:
        RULES.benchmark("score")
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        spec=RULES.spec("score"),
    message:
        "score the polygons"
    shell:
        "exec python -m rasterloom score --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
