"""`python -m alexnet_pl`."""

from alexnet_pl.cli.main import main

main()
