"""The bill of materials that the build puts into wheels."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hatchling.metadata.core import ProjectMetadata
from packaging.requirements import Requirement

from zeekml.ensemble.bundle import load_bundle

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = [str(path.relative_to(ROOT)) for path in (ROOT / "zeekml").rglob("*.so")]


def made() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    build: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    bill: dict[str, Any] = build.sbom(ROOT, ProjectMetadata(str(ROOT), None).core, MODULES)
    return bill


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        return made()


def parts(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        yield component
        yield from parts(component.get("components", []))


def test_it_fits_the_schema(bill: dict[str, Any]) -> None:
    schema = JsonStrictValidator(SchemaVersion.V1_6)
    assert schema.validate_str(json.dumps(bill)) is None
    assert schema.validate_str(json.dumps(bill | {"bomFormat": "other"})) is not None


def test_every_reference_stands_for_one_thing_that_is_there(bill: dict[str, Any]) -> None:
    """Which the schema cannot say."""
    metadata = bill["metadata"]
    named = [*parts(bill["components"]), metadata["component"], *metadata["tools"]["components"]]
    references = [component["bom-ref"] for component in named if "bom-ref" in component]
    assert len(references) == len(set(references))
    for entry in bill["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= set(references)


def test_the_project_and_all_that_is_installed_with_it(bill: dict[str, Any]) -> None:
    own = bill["metadata"]["component"]
    assert own["purl"] == f"pkg:pypi/zeekml@{PROJECT['version']}"
    asked = {
        (component["scope"], component["properties"][0]["value"], component["purl"])
        for component in bill["components"]
        if "properties" in component
    }
    extras = PROJECT["optional-dependencies"]
    optional = [text for extra in extras if extra != "dev" for text in extras[extra]]
    assert asked == {
        (scope, str(Requirement(text)), f"pkg:pypi/{Requirement(text).name}")
        for scope, texts in (("required", PROJECT["dependencies"]), ("optional", optional))
        for text in texts
    }
    (needed,) = (set(entry["dependsOn"]) for entry in bill["dependencies"])
    assert {f"pkg:pypi/{Requirement(text).name}" for text in PROJECT["dependencies"]} <= needed


def test_compiled_modules_and_models_have_their_digests(bill: dict[str, Any]) -> None:
    files = {
        part["name"]: part["hashes"][0]["content"]
        for part in parts(bill["components"])
        if part["type"] == "file"
    }
    assert MODULES
    models = (path for path in (ROOT / "zeekml" / "models").rglob("*") if path.is_file())
    assert files.keys() == {*MODULES, *(str(path.relative_to(ROOT)) for path in models)}
    for name, digest in files.items():
        assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() == digest
    (model,) = (c for c in bill["components"] if c["type"] == "machine-learning-model")
    assert model["hashes"][0]["content"] == load_bundle().digest
    assert model["version"] == load_bundle().short_digest


def test_the_same_again_but_for_the_time_that_is_wanted(
    bill: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made() == bill
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    dated = made()
    assert dated["metadata"].pop("timestamp") == "2023-11-14T22:13:20+00:00"
    assert dated.pop("serialNumber") != bill["serialNumber"]
    assert dated == {key: value for key, value in bill.items() if key != "serialNumber"}
