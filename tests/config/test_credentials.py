"""URLs with a password or token are refused before anything records them, in words that do not contain it."""

from pathlib import Path

import pytest
from kept_runs import keep_run
from omegaconf import OmegaConf

from alexnet_pl.cli.main import start
from alexnet_pl.config.checks import check_config
from alexnet_pl.config.credentials import check_no_secret
from alexnet_pl.config.recipes import compose
from alexnet_pl.errors import UserError

SECRETS = [
    "http://user:Pa55@127.0.0.1:8765/demo80", "https://Pa55@host/store", "sftp://me:Pa55@host/x",
    "https://host/a.tar?X-Amz-Signature=Pa55&x=1", "https://host/a.tar?sv=3&sig=Pa55", "https://host/x?access_token=Pa55",
]  # fmt: skip
PLAIN = [
    "s3://bucket/a@b:c/store", "ssh://me@host/store", "abfs://container@account.dfs.core.windows.net/x",
    "https://host:8080/a.tar?download=1", "hf://datasets/me/store@main", "/data/user:x@host", "memory://a?design=3",
]  # fmt: skip


@pytest.mark.parametrize("key", ["data.root", "+transfer.data_roots.fall2009", "predict.images", "prepare.source"])
@pytest.mark.parametrize("url", SECRETS)
def test_typed_url_with_a_secret_is_refused(
    key: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        start(["fit", "-c", "demo", f"{key}={url}"])
    assert str(error.value).startswith(f"{key}: a URL with a password or token")
    assert "Pa55" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", PLAIN)
def test_other_urls_and_paths_are_accepted(url: str) -> None:
    check_no_secret("data.root", url)


def test_secret_of_a_recipe_or_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", SECRETS[0])
    for word in (f"data.root='{SECRETS[0]}'", "data.root=${oc.env:STORE}"):
        with pytest.raises(UserError, match=r"^data\.root: a URL with a password or token"):
            check_config(compose("demo", [word]))


def test_kept_config_has_no_paths_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "run/.hydra/config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("seed: 1\ndata:\n  name: demo\n  root: /home/me/stores/demo\nprepare:\n  source: 's3://mine/x/y'\n")
    keep_run(tmp_path / "run", tmp_path / "kept")
    kept = OmegaConf.load(tmp_path / "kept/.hydra/config.yaml")
    assert kept == {"seed": 1, "data": {"name": "demo", "root": "demo"}, "prepare": {"source": "y"}}
