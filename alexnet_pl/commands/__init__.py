"""One module for each command, and the registry that lists them."""
