"""`python -m alexnet_pl`."""

from alexnet_pl.cli import main

main()
