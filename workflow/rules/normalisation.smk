"""Statistics: registrations -> statistics/{unit}.json, mean and deviation per channel; one, or as `normalise_by` says."""


rule normalisation:
    input:
        manifests=RULES.manifests("normalisation"),
    output:
        RESULTS / "statistics/{unit}.json",
    log:
        RESULTS / "logs/normalisation/{unit}.log",
    benchmark:
        RESULTS / "benchmarks/normalisation/{unit}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1500 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("normalisation"),
        spec=RULES.spec("normalisation"),
    message:
        "merge the moments of each channel: {wildcards.unit}"
    shell:
        "exec python -m rasterloom normalisation --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
