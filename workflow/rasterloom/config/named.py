"""Files and packages that the table of a model names: found without importing them, and told by their content."""

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from rasterloom.config.networks import ModuleConfig, NetworkConfig, SMPConfig
from rasterloom.config.tables import ModelTable
from rasterloom.errors import ConfigError
from rasterloom.store.digest import digest

WEIGHTS = ".safetensors"
"""Ending of a file of weights; an `init` without it is the name of a member."""


def named_contents(table: ModelTable) -> dict[str, str]:
    """Digests of the files that a model's table names, by key.

    Raises
    ------
    ConfigError
        If a file or a package is not there; the message begins with the key.
    """
    found: dict[str, str] = {}
    if isinstance(table, SMPConfig) and importlib.util.find_spec("segmentation_models_pytorch") is None:
        raise ConfigError("kind`: smp was given, which needs an extra: pip install 'rasterloom[smp]'")
    if isinstance(table, ModuleConfig):
        found["factory"] = source_digest(table)
    if isinstance(table, NetworkConfig) and table.init is not None and table.init.endswith(WEIGHTS):
        try:
            found["init"] = digest(Path(table.init).read_bytes())
        except OSError as error:
            words = f"{table.init} cannot be read ({error.strerror})"
            raise ConfigError(f"init`: {words}; a file of weights, or a member's name, is needed") from None
    return found


def source_digest(table: ModuleConfig) -> str:
    """Digest of the Python files that a user's network is made of.

    Those of its whole package, or its file alone if it is in none; what they import from elsewhere is not seen.

    Raises
    ------
    ConfigError
        If there is no such module.
    """
    name = table.factory.partition(":")[0]
    top, *parts = name.split(".")
    spec = PathFinder.find_spec(top, [str(Path.cwd()), *sys.path]) or importlib.util.find_spec(top)
    roots = [Path(root) for root in (spec and spec.submodule_search_locations) or ()]
    files = {str(path.relative_to(root)): path for root in roots for path in root.rglob("*.py") if path.is_file()}
    if spec is not None and spec.origin and spec.has_location and not roots:
        files = {"__init__.py": Path(spec.origin)}
    if not files.keys() & {"/".join([*parts, "__init__.py"]), f"{'/'.join(parts)}.py"}:
        raise ConfigError(
            f"factory`: there is no module {name}: it must lie in the folder that the workflow runs in, or be installed"
        )
    return digest({place: digest(path.read_bytes()) for place, path in files.items()})
