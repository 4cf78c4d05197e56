"""`bench`: what each stage of the work costs here, beside its floor and beside other programs, in one run."""
