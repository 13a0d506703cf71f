"""Build of the compiled modules: every .pyx file of the package becomes an extension beside it.

As a build hook of hatchling it puts them into wheels and editable installations, and a bill of
materials into wheels; as a script, `python hatch_build.py`, it builds them in place again, of which
it skips what did not change. The same sources and tools give the same bytes wherever and whenever
they are built; SOURCE_DATE_EPOCH sets the time that is told.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sysconfig
import uuid
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension

# The same bits on every machine of an architecture: no shortcuts in arithmetic, no fused
# multiply-add where the source has two operations, nothing of this very processor.
FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-semantic-interposition"]

DIRECTIVES = {
    "language_level": "3",
    "cdivision": True,  # as in C: a division by zero gives inf or nan
    "boundscheck": False,  # modules that read other people's bytes switch it on
    "wraparound": False,
    "initializedcheck": False,
    "embedsignature": True,
    "show_performance_hints": False,
}


def build(root: Path) -> list[str]:
    """Compile what changed; the paths of all extensions, from `root`."""
    sources = sorted(str(path.relative_to(root)) for path in (root / "zeekml").rglob("*.pyx"))
    # debugging symbols and assertions, where somebody asks for them, name no place of this machine
    more = [f"-ffile-prefix-map={root}=.", *os.environ.get("ZEEKML_CFLAGS", "").split()]
    extensions = [
        Extension(
            source.removesuffix(".pyx").replace("/", "."),
            [source],
            extra_compile_args=[*FLAGS, *more],
            extra_link_args=more,
        )
        for source in sources
    ]
    before = Path.cwd()
    os.chdir(root)
    try:
        made = cythonize(
            extensions, compiler_directives=DIRECTIVES, build_dir="build/cython", quiet=True
        )
        command = Distribution({"name": "zeekml", "ext_modules": made}).get_command_obj("build_ext")
        command.inplace = True
        command.parallel = os.cpu_count()
        command.build_temp = "build/temp"
        command.ensure_finalized()
        command.run()
        outputs = [command.get_ext_filename(extension.name) for extension in made]
        for output in outputs:
            # tests refuse what is older than its sources, and not all was compiled again
            os.utime(output)
        return outputs
    finally:
        os.chdir(before)


SBOM: Final = "build/zeekml.cdx.json"
"""Where the bill of materials is written; in a wheel it is in .dist-info/sboms (PEP 770)."""

SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
TOOLS: Final = ("cython", "hatchling", "setuptools")


def sbom(root: Path, core: Any, modules: list[str]) -> dict[str, Any]:
    """The bill of materials of a wheel, in CycloneDX 1.6.

    Of what is in the wheel (compiled modules, the C code of Cython in them, model bundles) it has
    the digests, of what is installed with it the ranges of versions that zeekml asks for: which
    they are is decided where it is installed.
    """
    cython, *others = (_package(tool, version(tool)) for tool in TOOLS)
    # the C code of Cython is in the modules, too; a reference stands for one thing alone
    tools = [{**cython, "bom-ref": "cython"}, *others]
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    run = subprocess.run([*compiler.split(), "--version"], stdout=subprocess.PIPE, check=True)
    (told, *_) = run.stdout.decode(errors="replace").splitlines()
    own = _package(core.name, core.version) | {
        "type": "application",
        "description": core.description,
        "licenses": [{"license": {"id": core.license_expression}}],
    }
    contained = [
        cython | {"licenses": [{"license": {"id": "Apache-2.0"}}], "scope": "required"},
        *(_file(root, Path(module)) for module in sorted(modules)),
        *(_model(root, path.parent) for path in sorted(root.glob("zeekml/models/*/manifest.json"))),
    ]
    required = [_dependency(wanted, "required") for wanted in core.dependencies_complex.values()]
    optional = {
        wanted.name: _dependency(wanted, "optional") | {"description": f"for zeekml[{extra}]"}
        for extra, dependencies in sorted(core.optional_dependencies_complex.items())
        if extra != "dev"
        for wanted in dependencies.values()
    }
    needed = [component["bom-ref"] for component in (*contained, *required)]
    metadata: dict[str, Any] = {
        "lifecycles": [{"phase": "build"}],
        "tools": {
            "components": [*tools, {"type": "application", "name": "cc", "version": told}],
        },
        "component": own,
    }
    if (epoch := os.environ.get("SOURCE_DATE_EPOCH")) is not None:
        metadata["timestamp"] = datetime.fromtimestamp(int(epoch), UTC).isoformat()
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": metadata,
        "components": [*contained, *required, *optional.values()],
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": needed}],
        # what the dependencies depend on is not in it
        "compositions": [{"aggregate": "incomplete", "dependencies": [own["bom-ref"]]}],
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill))
    return {"$schema": SCHEMA, "serialNumber": f"urn:uuid:{number}", **bill}


def _package(name: str, release: str | None = None) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}" if release is None else f"pkg:pypi/{name}@{release}"
    told = {} if release is None else {"version": release}
    return {"type": "library", "bom-ref": purl, "name": name, **told, "purl": purl}


def _dependency(wanted: Any, scope: str) -> dict[str, Any]:
    asked = {"name": "zeekml:requirement", "value": str(wanted)}
    return _package(wanted.name) | {"scope": scope, "properties": [asked]}


def _file(root: Path, path: Path) -> dict[str, Any]:
    digest = hashlib.sha256((root / path).read_bytes()).hexdigest()
    hashes = [{"alg": "SHA-256", "content": digest}]
    return {"type": "file", "bom-ref": str(path), "name": str(path), "hashes": hashes}


def _model(root: Path, directory: Path) -> dict[str, Any]:
    """A bundle, as its manifest's digest stands for it, and its files."""
    name = directory.relative_to(root)
    files = [_file(root, name / path.name) for path in sorted(directory.iterdir())]
    (manifest,) = (file for file in files if file["name"] == f"{name}/manifest.json")
    return {
        "type": "machine-learning-model",
        "bom-ref": str(name),
        "name": str(name),
        "version": manifest["hashes"][0]["content"][:12],
        "hashes": manifest["hashes"],
        "components": files,
    }


class CompiledModules(BuildHookInterface[Any]):
    """Compiles before a wheel or an editable installation is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and tell hatchling what came of it and that it is for this Python alone."""
        root = Path(self.root)
        modules = build(root)
        build_data["artifacts"] += modules
        if version != "editable":
            told = json.dumps(sbom(root, self.metadata.core, modules), indent=1)
            (root / SBOM).write_text(told + "\n")
            build_data["sbom_files"].append(SBOM)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


if __name__ == "__main__":
    build(Path(__file__).parent)
