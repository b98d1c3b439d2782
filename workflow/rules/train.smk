"""Models: stacks, masks, statistics and folds -> models/{member}/{fold}.json, a checkpoint."""


rule train:
    input:
        manifests=RULES.manifests("train"),
    output:
        RESULTS / "models/{member}/{fold}.json",
    log:
        RESULTS / "logs/train/{member}/{fold}.log",
    benchmark:
        RESULTS / "benchmarks/train/{member}/{fold}.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: RULES.threads("train")
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=RULES.minutes("train"),
        gpu=RULES.gpus,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("train"),
        spec=RULES.spec("train"),
    message:
        "train {wildcards.member}, {wildcards.fold}"
    shell:
        "exec python -m rasterloom train --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
