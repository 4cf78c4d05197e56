"""From the words of a command line to one command of the registry. Imports neither torch nor Lightning."""
