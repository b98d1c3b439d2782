"""Score: polygons and labels -> score.tsv, pooled Jaccard by class and by scene."""


rule score:
    input:
        manifests=RULES.manifests("score"),
    output:
        report(RESULTS / "score.tsv", caption="../report/score.rst", category="Score"),
    log:
        RESULTS / "logs/score/score.log",
    benchmark:
        RESULTS / "benchmarks/score/score.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("score"),
        spec=RULES.spec("score"),
    message:
        "score the polygons"
    shell:
        "exec python -m rasterloom score --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
