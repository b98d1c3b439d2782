"""Models: stacks, masks, statistics and folds -> models/{member}/{fold}.json, a checkpoint."""


rule train:
    input:
        manifests=RULES.manifests("train"),
    output:
        RULES.output("train"),
    log:
        RULES.log("train"),
    benchmark:
        RULES.benchmark("train")
    conda:
        "../../envs/torch.yaml"
    threads: RULES.threads("train")
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 2880 * attempt,
        gpu=1,
    params:
        results=RULES.folder,
        spec=RULES.spec("train"),
    message:
        "train {wildcards.member}, {wildcards.fold}"
    shell:
        "exec python -m rasterloom train --results {params.results:q} --spec {params.spec:q} 2> {log:q}"
