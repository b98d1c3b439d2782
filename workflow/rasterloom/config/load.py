"""Loading: overlays laid over each other, nulls taken out, checked against the model and for what it refers to."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from rasterloom.config.checks import cross_checks
from rasterloom.config.explain import explained, fields, inner, joined, place, refuse, shown
from rasterloom.config.model import Config
from rasterloom.errors import ConfigError


def load_config(merged: Mapping[str, Any]) -> Config:
    """Check a merged configuration and give it its types.

    Parameters
    ----------
    merged : mapping
        What YAML gives, overlays applied; keys set to null count as absent.

    Raises
    ------
    ConfigError
        One line for each mistake: where, what was given, what is needed, the nearest valid name.
    """
    refuse(_odd_keys(merged))
    try:
        config = Config.model_validate(_pruned(merged, Config))
    except ValidationError as error:
        raise ConfigError(joined(explained(error))) from None
    refuse(cross_checks(config))
    return config


def _pruned(value: Any, annotation: Any) -> Any:
    """A copy without the keys that are null, but for keys that no table of the model has, so that they are refused."""
    if isinstance(value, list | tuple):
        return [_pruned(entry, inner(annotation, 0)) for entry in value]
    if not isinstance(value, Mapping):
        return value
    known = fields(annotation)
    return {
        str(key): _pruned(entry, inner(annotation, str(key)))
        for key, entry in value.items()
        if entry is not None or (known and str(key) not in known)
    }


def recorded(config: Config, merged: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in full, to be written beside its results: overlays merged, every default filled in.

    Parameters
    ----------
    config : Config
    merged : mapping
        What `config` was loaded from.

    Returns
    -------
    dict
        A configuration that loads to an equal one, by itself or laid over the config.yaml that it was made with:
        what an overlay had removed stays null. What a class or a member overrides is as it was written.
    """
    full = config.model_dump()
    full["scales"] = {name: entry.model_dump(exclude_none=True) for name, entry in config.scales.items()}
    full["classes"] = {name: entry.model_dump(exclude_unset=True) for name, entry in config.classes.items()}
    return _with_removed(full, merged)


def _with_removed(full: Mapping[str, Any], merged: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with the keys that are null in what it was loaded from, after its own keys, whose order counts."""
    found = dict(full)
    for key, value in merged.items():
        known = full.get(key)
        if value is None:
            found.setdefault(key, None)
        elif isinstance(value, Mapping) and isinstance(known, Mapping):
            found[key] = _with_removed(known, value)
    return found


def _odd_keys(value: Any, keys: tuple[Any, ...] = ()) -> Iterable[str]:
    """One line for each key that YAML takes for something else than a text or an integer."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if isinstance(key, str) or (type(key) is int and abs(key) < 2**63):
                yield from _odd_keys(entry, (*keys, str(key)))
            else:
                where = f"in `{place(keys)}`" if keys else "at the top"
                yield (
                    f"the key {shown(key)} {where} is no text: put it in quotes, since YAML takes on, off, yes, no, "
                    "null, numbers and dates for something else"
                )
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _odd_keys(entry, (*keys, index))
