"""W&B login: keys in the environment and in the file that `wandb login` writes."""

from pathlib import Path

import pytest
import wandb

from alexnet_pl.training.wandb_login import is_logged_in


@pytest.mark.parametrize(
    ("server", "url", "known"),
    [
        ("api.wandb.ai", None, True),
        ("wandb's own default", None, True),
        ("lab.example.org:8080", "http://lab.example.org:8080", True),
        ("api.wandb.ai", "http://lab.example.org:8080", False),
        ("elsewhere.example.org", None, False),
        ("", None, False),
    ],
)
def test_key_that_wandb_login_wrote_is_found(
    server: str, url: str | None, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wandb's own function writes the file, for a given server."""
    wbauth = pytest.importorskip("wandb.sdk.lib.wbauth")
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    if server:
        host = wandb.Settings().base_url if server.startswith("wandb") else f"https://{server}"
        wbauth.write_netrc_auth(host=host, api_key="a" * 40)
    if url:
        monkeypatch.setenv("WANDB_BASE_URL", url)
    assert is_logged_in() == known
    monkeypatch.setenv("WANDB_API_KEY", "b" * 40)
    assert is_logged_in()
