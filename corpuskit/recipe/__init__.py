"""The recipe: one YAML file that describes a whole build, read and validated with every fault at its place.

`load` promises that a recipe which it gives back has known keys, possible values, steps that exist, rules that read
only columns that are there, and domains that its mixture knows. It looks at no raw file.
"""

from corpuskit.recipe.expect import Expectation, parse_expect
from corpuskit.recipe.faults import RecipeError
from corpuskit.recipe.loading import load
from corpuskit.recipe.models import Recipe

__all__ = ["Expectation", "Recipe", "RecipeError", "load", "parse_expect"]
