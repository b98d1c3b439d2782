"""The configuration: a typed model, its loading and checking, and the recipe that follows from it."""

from rasterloom.config.files import read_config_files, read_configuration
from rasterloom.config.load import load_config
from rasterloom.config.model import Config
from rasterloom.config.recipe import Recipe
from rasterloom.config.resolve import resolve

__all__ = ["Config", "Recipe", "load_config", "read_config_files", "read_configuration", "resolve"]
