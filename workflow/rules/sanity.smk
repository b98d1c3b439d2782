"""Sanity: models trained by heart, their scenes -> sanity/sanity.json, a picture of each class beside it."""


rule sanity:
    input:
        manifests=RULES.manifests("sanity"),
    output:
        RESULTS / "sanity/sanity.json",
    log:
        RESULTS / "logs/sanity/sanity.log",
    benchmark:
        RESULTS / "benchmarks/sanity/sanity.tsv"
    conda:
        "../../envs/torch.yaml"
    threads: RULES.threads("sanity")
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=RULES.gpus,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("sanity"),
        spec=RULES.spec("sanity"),
    message:
        "predict what was learned by heart"
    shell:
        "exec python -m rasterloom sanity --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
