"""CITATION.cff against the requirements of the CFF 1.2.0 schema, without network access."""

import re
from pathlib import Path

import pytest
import yaml

import alexnet_pl

ROOT = Path(__file__).resolve().parents[2]
TITLE = "ImageNet Classification with Deep Convolutional Neural Networks"
REFERENCE_TYPES = {"article", "conference-paper", "software", "software-code"}  # the types of the schema that we use


@pytest.fixture(scope="module")
def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def assert_names(authors):
    """Check that each author is an entity with one `name`, or a person with family and given names."""
    assert authors
    for author in authors:
        assert set(author) in ({"name"}, {"family-names", "given-names"}), author
        assert all(isinstance(part, str) and part for part in author.values()), author


def test_citation_has_the_keys_required_by_the_schema(citation):
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "alexnet_pl"
    assert citation["type"] == "software"
    assert citation["message"]
    assert_names(citation["authors"])


def test_citation_has_no_misspelt_key(citation):
    known = {"cff-version", "message", "type", "title", "version", "license", "authors", "abstract", "keywords"}
    assert set(citation) <= known | {"references", "repository-code", "date-released", "doi", "url"}


def test_every_reference_is_complete(citation):
    for reference in citation["references"]:
        assert reference["type"] in REFERENCE_TYPES
        assert reference["title"]
        assert isinstance(reference["year"], int)
        assert_names(reference["authors"])


def test_both_printings_of_the_paper_are_cited(citation):
    papers = {ref["year"]: ref for ref in citation["references"] if ref["title"] == TITLE}
    assert set(papers) == {2012, 2017}
    assert papers[2012]["collection-title"] == "Advances in Neural Information Processing Systems 25"
    assert papers[2017]["doi"] == "10.1145/3065386"
    for paper in papers.values():
        assert [author["family-names"] for author in paper["authors"]] == ["Krizhevsky", "Sutskever", "Hinton"]


def test_authors_program_is_cited(citation):
    addresses = [ref.get("repository-code", "") for ref in citation["references"]]
    assert any(address.endswith("computerhistory/AlexNet-Source-Code") for address in addresses)


def test_version_is_the_package_version(citation):
    assert citation["version"] == alexnet_pl.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", citation["version"])  # three parts, since YAML would read 1.0 as a number


def test_license_is_the_license_file(citation):
    assert citation["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")
