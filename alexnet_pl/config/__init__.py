"""Recipes and overrides: where configs lie and how they are composed. Imports neither torch nor Lightning."""
