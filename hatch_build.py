"""Build of the compiled modules: every .pyx file of the package becomes an extension beside it.

As a build hook of hatchling it puts them into wheels and editable installations; as a script,
`python hatch_build.py`, it builds them in place again, of which it skips what did not change.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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
    more = os.environ.get("ZEEKML_CFLAGS", "").split()
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


class CompiledModules(BuildHookInterface[Any]):
    """Compiles before a wheel or an editable installation is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and tell hatchling what came of it and that it is for this Python alone."""
        build_data["artifacts"] += build(Path(self.root))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


if __name__ == "__main__":
    build(Path(__file__).parent)
