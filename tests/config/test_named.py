"""Files that a model names: found without importing them, and told by their content; members that begin with others."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from rasterloom.config import load_config, resolve
from rasterloom.config.model import CONTENT
from rasterloom.config.named import source_digest
from rasterloom.config.networks import ModuleConfig
from rasterloom.config.recipe import Recipe
from rasterloom.errors import ConfigError
from rasterloom.store.digest import digest

NET: dict[str, Any] = {"kind": "unet", "width": 8, "depth": 2}


def recipe_of(models: dict[str, Any], **classes: list[dict[str, Any]]) -> Recipe:
    """The recipe of models, each a member of class `houses` unless classes say otherwise."""
    named = classes or {"houses": [{"model": name} for name in models]}
    config = {
        "dataset": {"layout": "sheet", "table": "scenes.tsv"},
        "sensors": {"rgb": {"reference": True}},
        "channels": {"all": ["rgb"]},
        "scales": {"native": {}},
        "models": models,
        "validation": {"split": 0.8},
        "classes": {
            name: {"id": number, "members": [{"channels": "all", "scale": "native", **member} for member in members]}
            for number, (name, members) in enumerate(named.items())
        },
    }
    return resolve(load_config(config))


def module(factory: str) -> ModuleConfig:
    return ModuleConfig(kind="module", factory=factory)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# A network of one's own -------------------------------------------------------------------------------------


def test_digest_of_a_module_follows_its_content_and_imports_nothing(folder: Path) -> None:
    file = folder / "own_net.py"
    file.write_text("raise SystemExit('imported')\n")
    first = source_digest(module("own_net:build"))
    assert source_digest(module("own_net:other")) == first
    file.write_text("raise SystemExit('imported, again')\n")
    assert source_digest(module("own_net:build")) != first
    assert "own_net" not in sys.modules


def test_digest_of_a_module_in_a_package_is_that_of_the_package(folder: Path) -> None:
    inner = folder / "own_package" / "inner"
    inner.mkdir(parents=True)
    for path in (inner.parent / "__init__.py", inner / "__init__.py", inner / "net.py", inner.parent / "helper.py"):
        path.write_text("raise SystemExit('imported')\n")
    first = source_digest(module("own_package.inner.net:build"))
    (inner.parent / "notes.txt").write_text("not code")
    (inner / ".#net.py").symlink_to("user@machine.1234")  # an editor's lock
    assert source_digest(module("own_package.inner.net:build")) == first
    (inner.parent / "helper.py").write_text("def help(): ...\n")
    assert source_digest(module("own_package.inner.net:build")) != first


@pytest.mark.parametrize("factory", ["own_net:build", "own_package.net:build", "json.no_such_part:build", "sys:exit"])
def test_module_that_is_not_there_is_refused(folder: Path, factory: str) -> None:
    with pytest.raises(ConfigError, match=rf"`models.mine.factory`: there is no module {factory.partition(':')[0]}: "):
        recipe_of({"mine": {"kind": "module", "factory": factory}})


def test_recipe_holds_the_digests_of_what_is_used(folder: Path) -> None:
    (folder / "own_net.py").write_text("def build(channels): ...\n")
    (folder / "w.safetensors").write_bytes(b"weights")
    models = {
        "plain": NET,
        "tuned": {**NET, "init": "w.safetensors"},
        "mine": {"kind": "module", "factory": "own_net:build", "init": "w.safetensors"},
        "unused": {"kind": "module", "factory": "no_such:build"},
    }
    found = recipe_of(models, houses=[{"model": name} for name in ("plain", "tuned", "mine")]).members
    weights, code = digest(b"weights"), source_digest(module("own_net:build"))
    contents = {name: member.model.get(CONTENT) for name, member in found.items()}
    assert contents == {
        "houses-plain-all-native": None,
        "houses-tuned-all-native": {"init": weights},
        "houses-mine-all-native": {"factory": code, "init": weights},
    }


def test_missing_extra_is_told_before_any_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"`models.net.kind`: .*pip install 'rasterloom\[smp\]'"):
        recipe_of({"net": {"kind": "smp"}})


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"kind": "smp", "encoder": "mit_b0"}, "`models.net.encoder`: the licence of encoder mit_b0 forbids"),
        ({"kind": "smp", "weights": "imagenet"}, "`models.net.weights`"),
        ({"kind": "module", "factory": "build"}, "`models.net.factory`: .*package.module:function is needed"),
        ({"kind": "module", "factory": "a:b", "options": {"when": {1, 2}}}, "`models.net.options"),
        ({**NET, "init": "no.safetensors"}, r"`models.net.init`: no.safetensors cannot be read \(No such file"),
    ],
)
def test_mistakes_in_the_tables_of_networks(folder: Path, model: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        recipe_of({"net": model})


@pytest.mark.parametrize(
    ("model", "patch", "refused"),
    [
        (NET, 16, ""),
        ({**NET, "depth": 4}, 16, "make either larger"),
        ({**NET, "depth": 4, "norm": "group"}, 16, ""),
        ({"kind": "fcn8"}, 32, "make either larger"),
        ({"kind": "tiramisu", "depth": 4}, 16, "make either larger"),
        ({"kind": "reseg", "depth": 4}, 16, ""),
        ({"kind": "smp"}, 32, "make either larger"),
        ({"kind": "smp"}, 64, ""),
        ({"kind": "smp", "architecture": "PSPNet"}, 32, ""),
        ({"kind": "smp", "architecture": "DeepLabV3"}, 256, "make it 2 or more"),
        ({"kind": "smp", "architecture": "PAN"}, 128, "make it 2 or more"),
    ],
)
def test_patch_alone_that_batch_normalisation_cannot_learn_is_refused(
    model: dict[str, Any], patch: int, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    training = {"patch": patch, "batch": 1}
    with (
        pytest.raises(ConfigError, match=rf"training.batch`: 1 was given.* needs two: {refused}")
        if refused
        else nullcontext()
    ):
        recipe_of({"net": model}, houses=[{"model": "net", "training": training}])


# Beginning with another member ------------------------------------------------------------------------------

TUNED = {**NET, "init": "houses-net-all-native"}


def test_origins_are_the_members_that_another_begins_with() -> None:
    recipe = recipe_of({"third": {**NET, "init": "houses-tuned-all-native"}, "tuned": TUNED, "net": NET})
    assert recipe.needed("houses-net-all-native") == []
    assert recipe.needed("houses-third-all-native") == ["houses-tuned-all-native", "houses-net-all-native"]


@pytest.mark.parametrize(
    ("models", "classes", "says"),
    [
        ({"net": NET, "tuned": {**NET, "init": "houses-nett-all-native"}}, {}, "`models.tuned.init`: no member is .*"
         "did you mean `houses-net-all-native`.* ends in .safetensors"),
        ({"tuned": {**NET, "init": "houses-tuned-all-native"}}, {}, "would begin with its own weights"),
        (
            {"a": {**NET, "init": "houses-b-all-native"}, "b": {**NET, "init": "houses-a-all-native"}},
            {},
            "member houses-a-all-native would begin with its own weights",
        ),
        ({"net": {**NET, "width": 9}, "tuned": TUNED}, {}, "differ in `width`; the same network is needed"),
        ({"net": {"kind": "forest"}, "tuned": TUNED}, {}, "differ in `kind`; the same network is needed"),
        (
            {"net": NET, "tuned": TUNED},
            {"houses": [{"model": "net"}], "trees": [{"model": "tuned"}]},
            "`models.tuned.init`: the scenes of houses-net-all-native and of trees-tuned-all-native are divided into "
            "folds apart.*name a member that learns trees",
        ),
    ],
)  # fmt: skip
def test_members_that_another_cannot_begin_with_are_refused(
    models: dict[str, Any], classes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        recipe_of(models, **classes)
