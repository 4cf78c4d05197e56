"""The networks of the paper and their layers, in plain torch.nn (§4)."""
