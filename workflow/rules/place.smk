"""Placement: registrations of the scenes of an acquisition -> placement/{acquisition}.json, where their sensors lie."""


rule place:
    input:
        manifests=RULES.manifests("place"),
    output:
        RESULTS / "placement/{acquisition}.json",
    log:
        RESULTS / "logs/place/{acquisition}.log",
    benchmark:
        RESULTS / "benchmarks/place/{acquisition}.tsv"
    conda:
        "../../envs/raster.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        results=RULES.folder,
        inputs=RULES.inputs("place"),
        spec=RULES.spec("place"),
    message:
        "settle where the sensors of {wildcards.acquisition} lie"
    shell:
        "exec python -m rasterloom place --results {params.results:q}"
        " --inputs {params.inputs:q} --output {output:q}"
        " --spec {params.spec:q} 2> {log:q}"
