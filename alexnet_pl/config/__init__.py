"""Recipes, overrides and option schemas. Imports neither torch nor Lightning."""
