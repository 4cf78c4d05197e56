"""Command line: argv to Hydra to one command of the registry. Imports neither torch nor Lightning."""
