"""Entry points of torch.hub: `torch.hub.load("OWNER/alexnet_pl", "alexnet")`. No trained weights come with them."""

dependencies = ["torch", "lightning", "omegaconf", "safetensors"]


def alexnet(**options: object) -> object:
    """The bare network of the paper with initial weights; options as of `alexnet_pl.AlexNet`."""
    import alexnet_pl

    return alexnet_pl.AlexNet(**options)  # type: ignore[arg-type]


def trained(run: str, views: str = "ten") -> object:
    """A trained network from a run folder, an exported folder or hf://user/repo; as `alexnet_pl.load`."""
    import alexnet_pl

    return alexnet_pl.load(run, views)
