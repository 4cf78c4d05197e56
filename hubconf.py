"""Entry points of torch.hub: `torch.hub.load("OWNER/alexnet_pl", "alexnet")`. Trained weights are not included."""

dependencies = [
    "torch", "torchvision", "lightning", "omegaconf", "safetensors", "simplejpeg", "blake3", "pyarrow", "scipy",
    "fsspec", "rich", "tabulate", "matplotlib",
]  # fmt: skip


def alexnet(**options: object) -> object:
    """AlexNet with initial weights; takes the options of `alexnet_pl.AlexNet`."""
    import alexnet_pl

    return alexnet_pl.AlexNet(**options)  # type: ignore[arg-type]


def trained(run: str, views: str = "ten") -> object:
    """Load a trained network from a run folder, an exported folder or hf://user/repo, as `alexnet_pl.load` does."""
    import alexnet_pl

    return alexnet_pl.load(run, views)
