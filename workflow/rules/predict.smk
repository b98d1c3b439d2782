"""Predictions: models and stacks -> predictions/{member}/{batch}.json, a probability per pixel."""


rule predict:
    input:
        manifests=RULES.manifests("predict"),
    output:
        RESULTS / "predictions/{member}/{batch}.json",
    log:
        RESULTS / "logs/predict/{member}/{batch}.log",
    benchmark:
        RESULTS / "benchmarks/predict/{member}/{batch}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: RULES.threads("predict")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=RULES.minutes("predict"),
        gpu=RULES.gpus,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("predict"),
        spec=RULES.spec("predict"),
    message:
        "predict {wildcards.batch} with {wildcards.member}"
    shell:
        "exec python -m rasterloom predict --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
