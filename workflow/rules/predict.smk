"""Predictions: models and stacks -> predictions/{member}/{batch}.json, a probability per pixel."""


rule predict:
    input:
        manifests=RULES.manifests("predict"),
    output:
        RULES.output("predict"),
    log:
        RULES.log("predict"),
    benchmark:
        RULES.benchmark("predict")
    conda:
        "../../envs/torch.yaml"
    threads: RULES.threads("predict")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 600 * attempt,
        gpu=1,
    params:
        results=RULES.folder,
        spec=RULES.spec("predict"),
    message:
        "predict {wildcards.batch} with {wildcards.member}"
    shell:
        "exec python -m rasterloom predict --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
