"""The repository keeps its own rules: the same doors for every stage, small files, honest dependencies."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from common import LIBRARY, ROOT
from rasterloom.stages import STAGES, module_of

RULES = ROOT / "workflow" / "rules"
SOURCES = sorted(
    [
        *(path for folder in ("workflow", "tests", "presets", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
        *RULES.glob("*.smk"),
        ROOT / "Snakefile",
    ]
)
IMPORT_NAMES = {
    "opencv-python-headless": "cv2",
    "mlflow-skinny": "mlflow",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
}
LIBRARY_EXTRAS = ("tensorboard", "mlflow", "smp", "onnx", "openvino")
"""Extras whose packages the library imports where they are installed."""
NEVER_BEFORE_NEEDED = ("torch", "sklearn", "skimage", "cv2", "geopandas", "pandas", "rasterio", "zarr", "snakemake")


def rule_of(stage: str) -> str:
    return (RULES / f"{stage}.smk").read_text(encoding="utf-8")


def dependencies(*extras: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return [str(entry) for entries in lists for entry in entries]


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~ \[;]", requirement, maxsplit=1)[0]


# One name on all doors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_stage_has_rule_module_and_test_file(stage: str) -> None:
    assert (RULES / f"{stage}.smk").is_file()
    assert (LIBRARY / "stages" / f"{stage}.py").is_file()
    assert (ROOT / "tests" / "stages" / f"test_{stage}.py").is_file()
    assert f'include: "workflow/rules/{stage}.smk"' in (ROOT / "Snakefile").read_text()


@pytest.mark.parametrize("stage", STAGES)
def test_stage_module_has_what_the_workflow_calls(stage: str) -> None:
    module = module_of(stage)
    assert isinstance(module.VERSION, int)
    assert module.HELP and module.OUTPUT
    assert all(callable(getattr(module, name)) for name in ("jobs", "spec", "inputs", "run"))
    assert hasattr(module, "wanted") == hasattr(module, "NAMES")
    assert module.__doc__


def test_rules_are_those_of_the_stages_alone() -> None:
    assert {path.stem for path in RULES.iterdir()} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_rule_is_complete(stage: str) -> None:
    text = rule_of(stage)
    assert text.startswith('"""'), "a docstring of inputs and outputs comes first"
    own, *others = re.findall(r"^rule (\w+):", text, re.MULTILINE)
    assert own == stage and all(name.startswith(f"{stage}_") for name in others)
    text = text.split(f"\nrule {stage}_")[0]  # what others make of its output
    keys = re.findall(r"^    (\w+):", text, re.MULTILINE)
    needed = ["input", "output", "log", "benchmark", "conda", "threads", "resources", "params", "message", "shell"]
    assert sorted(keys) == sorted(needed)
    for inner in ("manifests", "mem_mb", "runtime", "inputs", "spec"):
        assert re.search(rf"^        {inner}=", text, re.MULTILINE), inner
    for inner in ("mem_mb", "runtime"):
        grows = rf"{inner}=(lambda wildcards, attempt: \d+ \* attempt|RULES\.minutes\()"
        assert re.search(grows, text), f"{inner} grows with the attempt"
    assert f'RESULTS / "{module_of(stage).OUTPUT}"' in text
    assert f"exec python -m rasterloom {stage} --results {{params.results:q}}" in text
    assert "--inputs {params.inputs:q} --output {output:q}" in text
    assert "--spec {params.spec:q}" in text
    assert "2> {log:q}" in text
    assert set(re.findall(r'RULES\.\w+\("(\w+)"\)', text)) == {stage}


@pytest.mark.parametrize("stage", STAGES)
def test_rule_gives_sources_exactly_where_the_stage_reads_them(stage: str) -> None:
    reads = stage in {"register", "stack", "label", "submission"}
    text = rule_of(stage)
    for words in ("sources=RULES.stamps(", "--sources {params.sources:q}"):
        assert (words in text) == reads, words


@pytest.mark.parametrize("stage", STAGES)
def test_rule_of_a_model_asks_for_torch_a_gpu_and_the_recipes_threads(stage: str) -> None:
    text, model = rule_of(stage), stage in {"train", "predict", "sanity"}
    assert ("envs/torch.yaml" in text) == model
    assert ("envs/raster.yaml" in text) != model
    assert ("gpu=RULES.gpus," in text) == model
    assert (f'threads: RULES.threads("{stage}")' in text) == model


def test_snakefile_is_a_table_of_contents() -> None:
    lines = (ROOT / "Snakefile").read_text().splitlines()
    assert len(lines) < 70
    assert [line for line in lines if re.match(r"\s*def |\s*lambda ", line)] == []


# Dependencies ----------------------------------------------------------------------------------------------


@functools.cache
def code_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """The packages that a file imports, wherever in it."""
    for node in ast.walk(code_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def engines_of(path: Path) -> Iterator[str]:
    """The packages that a file names as the ``engine`` of another."""
    for node in ast.walk(code_of(path)):
        if isinstance(node, ast.keyword) and node.arg == "engine" and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


@pytest.fixture(scope="module")
def imported() -> dict[str, str]:
    """The packages that the library imports, each with a file that does."""
    return {name: path.name for path in LIBRARY.rglob("*.py") for name in imports_of(path)}


@pytest.fixture(scope="module")
def engines() -> set[str]:
    """The packages that the library names as engines of others."""
    return {name for path in LIBRARY.rglob("*.py") for name in engines_of(path)}


@pytest.mark.parametrize("requirement", [d for d in dependencies() if name_of(d) != "snakemake"])
def test_dependency_is_used_by_the_library(requirement: str, imported: dict[str, str], engines: set[str]) -> None:
    name = name_of(requirement)
    assert IMPORT_NAMES.get(name, name) in imported.keys() | engines


def test_dependencies_are_all_declared(imported: dict[str, str]) -> None:
    """What the library imports at all is of Python itself, of the library, or declared."""
    declared = {IMPORT_NAMES.get(name_of(d), name_of(d)) for d in dependencies(*LIBRARY_EXTRAS)}
    known = declared | set(sys.stdlib_module_names) | {"rasterloom"}
    assert {name: file for name, file in imported.items() if name not in known} == {}


def test_dependencies_name_the_joints_with_lower_bounds_and_reasons() -> None:
    declared = dependencies()
    assert {"snakemake", "torch", "rasterio", "shapely", "geopandas", "numpy", "zarr"} <= {name_of(d) for d in declared}
    assert all(re.search(r"[>=]=\d", requirement) for requirement in declared)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in declared:
        assert re.search(rf'"{re.escape(requirement)}",\s+# \S', text), f"{requirement} has no reason"


def test_one_module_alone_imports_snakemake() -> None:
    found = [path.name for path in LIBRARY.rglob("*.py") if "snakemake" in imports_of(path)]
    assert found == ["snakemake_internals.py"]


def test_dependencies_are_in_the_lock_in_a_version_that_they_allow() -> None:
    from packaging.requirements import Requirement

    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = {k.lower(): v for k, v in (line.split("==") for line in lines if "==" in line and line[0] != "#")}
    for requirement in map(Requirement, dependencies()):
        assert requirement.specifier.contains(locked[requirement.name.lower()]), requirement.name


@pytest.mark.parametrize(("file", "without"), [("torch.yaml", {"snakemake"}), ("raster.yaml", {"snakemake", "torch"})])
def test_conda_environments_are_the_dependencies(file: str, without: set[str]) -> None:
    """Jobs need no Snakemake; only training and prediction need torch."""
    table = yaml.safe_load((ROOT / "envs" / file).read_text(encoding="utf-8"))
    names = {"opencv-python-headless": "py-opencv", "torch": "pytorch"}
    wanted = [
        d.replace(name_of(d), names.get(name_of(d), name_of(d))) for d in dependencies() if name_of(d) not in without
    ]
    assert table == {"channels": ["conda-forge"], "dependencies": ["python=3.11", *wanted]}


def test_containerfile_copies_what_is_there_and_nothing_else() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = {path for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for path in line.split()}
    assert {"requirements.lock", "pyproject.toml", "workflow"} <= copied
    assert [path for path in copied if not (ROOT / path).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= copied, "what building the package reads"
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored and {line[1:] for line in ignored if line.startswith("!")} == copied
    (python,) = re.findall(r"^ARG BASE=\S+/python:(\d+\.\d+)-", text, re.MULTILINE)
    assert (project["requires-python"], python) == (f">={python}", "3.11")


def test_planning_and_reuse_import_nothing_heavy(python: Callable[..., subprocess.Popen[str]]) -> None:
    """A job whose artifacts are all in the store must not wait for torch, nor must the graph."""
    code = (
        "import sys\nimport rasterloom.cli, rasterloom.planning.graph, rasterloom.planning.rules\n"
        "from rasterloom.stages import STAGES, module_of\n"
        "for stage in STAGES:\n"
        "    module_of(stage)\n"
        "    print(stage, *(n for n in sys.argv[1:] if n in sys.modules))\n"
    )
    out, err = python(code, *NEVER_BEFORE_NEEDED).communicate()
    assert err == ""
    assert out.splitlines() == list(STAGES)


def test_no_module_shadows_the_standard_library() -> None:
    """Python puts the folder that it is started in first, and what is built in before that."""
    names = {path.stem for path in LIBRARY.rglob("*.py")} | {path.name for path in LIBRARY.rglob("*") if path.is_dir()}
    assert names & (sys.stdlib_module_names - set(sys.builtin_module_names)) <= {"__init__", "__main__"}


# Size ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_at_most_500_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_functions_are_at_most_60_lines(path: Path) -> None:
    functions = (n for n in ast.walk(code_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions}
    assert {name: length for name, length in lengths.items() if length > 60} == {}


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_public_names_are_documented_and_typed(path: Path) -> None:
    tree = code_of(path)
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None, node.name


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_library_writes_no_pickles_and_catches_nothing_bare(path: Path) -> None:
    for node in ast.walk(code_of(path)):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), node.lineno
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "joblib", "dill"} & {name.split(".")[0] for name in names}


# Documents -------------------------------------------------------------------------------------------------

DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "results/README.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
GENERATED = {"configuration.md", "troubleshooting.md"}


def yaml_of(name: str) -> dict[str, Any]:
    """The table of a YAML file of the repository."""
    table: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return table


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_to_files(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if p.name not in GENERATED], ids=lambda path: path.name)
def test_lines_of_a_document_fit_the_page(path: Path) -> None:
    """Rows of tables may be longer, and what `make docs` writes."""
    text = re.sub(r"(?s)<!-- The table is made.*?<!-- Here the table ends", "", path.read_text(encoding="utf-8"))
    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


def test_hooks_before_a_commit_are_the_commands_of_make_check() -> None:
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    commands = {line.strip().replace("$(VENV)", ".venv") for line in recipe[1].splitlines()}
    hooks = yaml_of(".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert {hook["entry"] for hook in hooks} == commands
    assert {hook["language"] for hook in hooks} == {"system"}, "a hook with an environment of its own downloads it"


def test_github_runs_the_two_commands_of_the_readme() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Two commands", 1)[1]
    commands = re.findall(r"^    (make \w+)", section, re.MULTILINE)
    assert len(commands) == 2
    workflow = yaml_of(".github/workflows/test.yml")
    assert set(workflow["jobs"]["make"]["strategy"]["matrix"]["command"]) == {*commands, "make check"}
    assert workflow["permissions"] == {"contents": "read"}


def test_citation_has_the_version_and_licence_of_the_project() -> None:
    from rasterloom import __version__

    citation = yaml_of("CITATION.cff")
    assert (citation["version"], citation["license"]) == (__version__, "MIT")
