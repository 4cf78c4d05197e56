"""W&B login: whether runs are logged online. Loads neither torch nor Lightning."""

import os
from netrc import NetrcParseError, netrc
from urllib.parse import urlsplit


def is_logged_in() -> bool:
    """Whether a W&B API key is in the environment or in the file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        keys = netrc(os.environ.get("NETRC"))
    except (OSError, NetrcParseError):
        return False
    return any(keys.authenticators(host) for host in wandb_hosts())


def wandb_hosts() -> list[str]:
    """Hosts, with ports, under which `wandb login` may have stored the key; the public server has been renamed."""
    import wandb

    if url := os.environ.get("WANDB_BASE_URL"):
        return [urlsplit(url).netloc]
    return [urlsplit(wandb.Settings().base_url).netloc, "api.wandb.ai"]


def is_offline() -> bool:
    """Whether W&B logs offline, because of WANDB_MODE or because the user is not logged in."""
    return os.environ.get("WANDB_MODE", "online") != "online" or not is_logged_in()
