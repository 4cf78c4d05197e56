"""Build trainer, module and data from a composed config; open a finished run."""
