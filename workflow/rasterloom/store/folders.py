"""Results folders that use a store: what their manifests name, and what their latest run has yet to name.

Everything is read from the folders themselves, as any of them may belong to another configuration, another working
directory or another version. What cannot be read is an error: if in doubt, `gc` removes nothing.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rasterloom.errors import StoreError
from rasterloom.store.files import read_json, sound_json
from rasterloom.store.lock import holder
from rasterloom.store.manifest import Manifest
from rasterloom.store.store import COMMIT_LOCK, Store, User

OUTPUTS_NOTE = ".outputs.json"
"""In a results folder: what its latest run asks for, by stage, relative to the folder."""

_NO_MANIFESTS = {"store", "report", "logs", "benchmarks", "vectors", "runs", "training"}
"""Folders of the results tree in which no manifest lies."""


@dataclass(frozen=True)
class Claim:
    """What a results folder has a claim to in a store.

    Attributes
    ----------
    results : the folder.
    named : keys that its manifests name.
    wanted : stages of which it may want what no manifest names yet; None: any stage.
    why : why it may, in words.
    """

    results: Path
    named: frozenset[str]
    wanted: frozenset[str] | None
    why: str = ""


def walk(folder: Path, skip: str = "") -> Iterator[Path]:
    """Every file and link below a folder, sorted; links to folders are not followed.

    Parameters
    ----------
    folder : it may be a link itself.
    skip : name of a folder directly in it that is left out.

    Raises
    ------
    OSError
        If a folder cannot be listed: what is not seen must not count as not there.
    """

    def fail(error: OSError) -> None:
        raise error

    for top, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if name != skip or Path(top) != folder)
        links = [name for name in folders if (Path(top) / name).is_symlink()]
        yield from (Path(top) / name for name in sorted([*files, *links]))


def _artifact_tree(results: Path) -> Iterator[Path]:
    """Every file and link in those folders of a results folder in which manifests lie."""
    for top in sorted(results.iterdir()):
        if top.is_dir() and top.name not in _NO_MANIFESTS and not top.name.startswith("."):
            yield from walk(top)


def manifests_of(results: Path) -> Iterator[Path]:
    """Every manifest below a results folder (not below its store), sorted.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    for path in _artifact_tree(results):
        if path.suffix == ".json" and not path.is_symlink() and not path.name.startswith("."):
            value = sound_json(path)
            if value is None or (isinstance(value, dict) and {"stage", "items"} <= value.keys()):  # else a user's own
                yield path


def asked_outputs(results: Path) -> dict[str, list[str]] | None:
    """What the latest run of a results folder asks for, by stage; None if no run has left a note of it.

    Raises
    ------
    StoreError
        If the note cannot be read.
    """
    note = results / OUTPUTS_NOTE
    try:
        value = read_json(note)
        return {str(stage): [str(path) for path in paths] for stage, paths in value.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise StoreError(
            f"{note}, which says what the latest run asks for, cannot be read ({error}): run the workflow there again"
        ) from None


def claim(results: Path, dropped: Collection[Path] = (), running: str | None = None) -> Claim:
    """What a results folder has a claim to.

    Parameters
    ----------
    results : the folder.
    dropped : manifests in it that do not count.
    running : the process of a run that is under way there, or None.

    Raises
    ------
    StoreError
        If a manifest or the note of the latest run cannot be read.
    OSError
        If the folder cannot be listed.
    """
    named: set[str] = set()
    for path in manifests_of(results):
        if path not in dropped:
            named.update(item.key for item in Manifest.read(path).items.values())
    asked = asked_outputs(results)
    if running is not None:
        stages = None if asked is None else frozenset(stage for stage, paths in asked.items() if paths)
        return Claim(results, frozenset(named), stages, f"a run (process {running}) is under way in {results}")
    if asked is None:
        unknown = (results / "config.json").exists()  # of a version that left no note
        why = f"{results} was last run by an earlier version, which did not say what it asks for: run it again"
        return Claim(results, frozenset(named), None if unknown else frozenset(), why)
    missing = [stage for stage, paths in asked.items() if any(not (results / path).exists() for path in paths)]
    return Claim(results, frozenset(named), frozenset(missing), f"the latest run in {results} has not finished it")


def claims(store: Store, own: Claim) -> tuple[list[Claim], list[User]]:
    """The claims of all results folders that use a store, and those that no longer exist.

    Parameters
    ----------
    store : the store.
    own : the claim of the folder that is at work.

    Raises
    ------
    StoreError
        If a folder cannot be read, or may only be out of reach for now.
    """
    found, gone = [own], []
    for user in store.users():
        if user.results == own.results.resolve():
            continue
        if user.moved or is_gone(user):
            gone.append(user)
            continue
        try:
            found.append(claim(user.results, running=holder(user.results)))
        except OSError as error:
            raise StoreError(
                f"{user.results} uses the store {store.root} too, and cannot be read ({error}): nothing was removed. "
                f"Make it readable, or, if it is no longer wanted, delete {user.note}"
            ) from None
        except StoreError as error:
            raise StoreError(f"{user.results} uses the store {store.root} too: {error}; nothing was removed") from None
    return found, gone


def is_gone(user: User) -> bool:
    """Whether a results folder has been removed or moved.

    Raises
    ------
    StoreError
        If it may just be out of reach: the folder above it is not there, or empty, as where no disk is mounted.
    """
    try:
        if user.results.is_dir():
            return False
        above = user.results.parent
        if above.is_dir() and any(above.iterdir()):
            return True
    except OSError as error:
        reason = str(error)
    else:
        reason = f"{above} is {'empty' if above.is_dir() else 'not there'}"
    raise StoreError(
        f"{user.results} uses this store too, but cannot be reached ({reason}): mount its disk, or, if it is gone for "
        f"good, delete {user.note}. Nothing was removed"
    )


def other_store(results: Path, store: Store) -> Path | None:
    """The store that the links of a results folder lead to, if they lead to another one than the given.

    Looks at links until one leads into the given store, at 200 at most.
    """
    seen: Path | None = None
    own = store.root.resolve()
    links = (path for path in _artifact_tree(results) if path.is_symlink())
    for _, link in zip(range(200), links, strict=False):
        root = Path(os.path.normpath(link.parent.resolve() / link.readlink())).parent.parent
        if root.resolve() == own:
            return None
        if (root / COMMIT_LOCK).exists():
            seen = root
    return seen


def require_own_store(results: Path, store: Store) -> None:
    """Refuse to work with a store that is not the one of a results folder.

    Raises
    ------
    StoreError
        If the folder's links lead to another store: RASTERLOOM_STORE was set when it was made, and is not now, or
        the other way round.
    """
    other = other_store(results, store)
    if other is None:
        return
    its_own = other.resolve() == (results / "store").resolve()
    remedy = "unset RASTERLOOM_STORE" if its_own else f"set RASTERLOOM_STORE={other}"
    raise StoreError(f"the artifacts of {results} lie in {other}, not in {store.root}: {remedy}")
