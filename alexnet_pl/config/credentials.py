"""Passwords and tokens in URLs are refused: the config, command line and loggers of a run would show them."""

import re

from alexnet_pl.errors import UserError

SECRET = re.compile(
    r"://[^/?#\s]*:[^/?#\s]*@"  # user:password@host
    r"|https?://[^/?#\s]*@"
    r"|://\S*[?&]([\w.-]*(token|secret|passw|credential|signature|key)[\w.-]*|sig|auth)=",
    re.IGNORECASE,
)


def check_no_secret(key: str, value: object) -> None:
    """Raise UserError, without the value, if it contains a URL with a password or token."""
    if SECRET.search(str(value)):
        raise UserError(
            f"{key}: a URL with a password or token, which the files of a run would show; give it as the protocol's "
            "own credentials (AWS_…, ~/.aws) or in ~/.config/fsspec/conf.json"
        )
