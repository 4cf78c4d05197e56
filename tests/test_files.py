"""Text that commands write for people."""

from pathlib import Path

from alexnet_pl.files import write_page


def test_page_with_a_name_that_is_no_text_is_written(tmp_path: Path) -> None:
    """Names of files from other systems have such bytes, which Python decodes as surrogates."""
    write_page(tmp_path / "report.md", "→ caf\udce9\n")
    assert (tmp_path / "report.md").read_bytes() == b"\xe2\x86\x92 caf\\udce9\n"
