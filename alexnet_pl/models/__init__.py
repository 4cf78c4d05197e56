"""Networks of the paper and their layers (§4), as plain torch.nn modules."""
