"""A store of bundles: versions under their digests, one of them in force, and the way back.

    3f9a0c…/       a bundle, under the first digits of its digest
    current        a link to the version in force: what `zeekml watch --bundle STORE/current` reads
    history.json   digests in the order in which they were put in force

A version is written whole beside the others before anything points to it, and the link is replaced
in one step: whatever is cut short, `current` is the old bundle or the new one. Where history and
link disagree, the link is right.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from zeekml.core.atomic_write import as_output_error, replacing, sync_directory
from zeekml.core.directory_lock import DirectoryLock
from zeekml.core.text import printable
from zeekml.ensemble.bundle import SHORT_DIGEST, Bundle, load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.signing.signature import SIGNATURE_FILE
from zeekml.errors import InputError, OutputError

CURRENT: Final = "current"
HISTORY: Final = "history.json"


@dataclass(frozen=True)
class Version:
    """A bundle in a store."""

    bundle: Bundle
    current: bool
    place: int  # in the history, from 0 on; negative if it was never in force

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        manifest = self.bundle.manifest
        adapted = manifest.evaluation.get("adapted")
        return {
            "sha256": self.bundle.digest,
            "name": manifest.name,
            "current": self.current,
            "place": self.place,
            "parent": manifest.parent,
            "kind": adapted.get("kind") if isinstance(adapted, dict) else None,
            "site_rules": len(manifest.site_rules),
        }


class BundleStore:
    """The versions in a directory, which is made with the first of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def link(self) -> Path:
        """What to give to a watch."""
        return self.directory / CURRENT

    def current(self) -> str:
        """Name of the version in force; empty if there is none."""
        try:
            return self.link.readlink().name
        except OSError:
            return ""

    def versions(self) -> list[Version]:
        """All of them, the latest in force first; `InputError`: there is no store."""
        names = self._names()
        if not names:
            raise InputError(
                f"{self.directory}: holds no bundles; `zeekml bundle promote BUNDLE --store "
                f"{self.directory}` puts the first one there"
            )
        history, current = self._history(), self.current()
        places = {name: place for place, name in enumerate(history)}
        found = [
            Version(load_bundle(self.directory / name), name == current, places.get(name, -1))
            for name in names
        ]
        return sorted(found, key=lambda v: (v.current, v.place), reverse=True)

    def version(self, digest: str) -> Path | None:
        """Where the bundle is whose digest begins so; None if it is not here."""
        found = [name for name in self._names() if name.startswith(digest[:SHORT_DIGEST])]
        return self.directory / found[0] if len(found) == 1 and digest else None

    def promote(self, bundle: Bundle) -> Path:
        """Put a bundle in force, which is copied here if it is not here yet."""
        if self.directory.resolve().is_relative_to(bundle.path.resolve()):
            raise OutputError(f"{self.directory}: is the bundle itself; choose another store")
        with as_output_error(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            with closing(self._lock()):
                name = bundle.short_digest
                if not (self.directory / name).exists():
                    self._copy(bundle, name)
                else:
                    self._take_signature(bundle, name)
                if self.current() != name:
                    self._put_in_force(name, [*self._past(), name])
        return self.directory / name

    def rollback(self) -> Path:
        """Put the version in force that was so before; `InputError` if there is none."""
        if not self._names():
            raise InputError(f"{self.directory}: holds no bundles")
        with as_output_error(self.directory), closing(self._lock()):
            past = self._past()
            before = [name for name in past[:-1] if (self.directory / name).is_dir()]
            if not before:
                raise InputError(f"{self.directory}: no bundle was in force before this one")
            self._put_in_force(before[-1], before)
        return self.directory / before[-1]

    def _lock(self) -> DirectoryLock:
        told = f"{self.directory}: another zeekml changes this store; try again"
        return DirectoryLock(self.directory, told)

    def _names(self) -> list[str]:
        try:
            entries = sorted(self.directory.iterdir())
        except OSError:
            return []
        digits = set("0123456789abcdef")
        return [
            path.name
            for path in entries
            if len(path.name) == SHORT_DIGEST and set(path.name) <= digits and path.is_dir()
        ]

    def _history(self) -> list[str]:
        try:
            told = json.loads((self.directory / HISTORY).read_bytes())
        except (OSError, ValueError):
            return []
        return [name for name in told if isinstance(name, str)] if isinstance(told, list) else []

    def _past(self) -> list[str]:
        """What was in force up to now, the present version last."""
        history, current = self._history(), self.current()
        if not current:
            return []
        if current not in history:
            return [*history, current]
        last = len(history) - 1 - history[::-1].index(current)
        return history[: last + 1]

    def _copy(self, bundle: Bundle, name: str) -> None:
        """Copy the files of a bundle that was read, and see that they are its own."""
        staging = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.directory))
        try:
            fresh = staging / "bundle"
            fresh.mkdir(mode=0o755)
            for path in sorted(bundle.path.iterdir()):
                if path.is_file():
                    with path.open("rb") as source, (fresh / path.name).open("wb") as target:
                        shutil.copyfileobj(source, target)
                        target.flush()
                        os.fchmod(target.fileno(), 0o644)
                        os.fsync(target.fileno())
            fresh.chmod(0o755)
            load_bundle(fresh, pin=bundle.digest)
            fresh.rename(self.directory / name)
            sync_directory(self.directory / name)
            sync_directory(self.directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _take_signature(self, bundle: Bundle, name: str) -> None:
        """Have the signature of a bundle that was signed after it was copied."""
        source, target = (path / SIGNATURE_FILE for path in (bundle.path, self.directory / name))
        if source.is_file() and not (target.exists() and source.samefile(target)):
            with replacing(target) as file:
                file.write(source.read_bytes())
                os.fchmod(file.fileno(), 0o644)

    def _put_in_force(self, name: str, history: Sequence[str]) -> None:
        with replacing(self.directory / HISTORY) as file:
            file.write(json.dumps(list(history), indent=1).encode() + b"\n")
        link = self.directory / f".{CURRENT}.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        link.replace(self.link)
        sync_directory(self.directory)


def store_of(path: Path) -> BundleStore | None:
    """The store whose link a path is; None if it is none."""
    is_link = path.name == CURRENT and path.is_symlink()
    return BundleStore(path.parent) if is_link and (path.parent / HISTORY).exists() else None


def without_rule(bundle: Bundle, name: str, out: Path, *, overwrite: bool = False) -> Bundle:
    """Write a child of a bundle without one of its site rules.

    `InputError`: it has none of that name. Else as `bundle_writer.write_bundle`.
    """
    rules = bundle.manifest.site_rules
    kept = tuple(rule for rule in rules if rule.name != name)
    if len(kept) == len(rules):
        known = ", ".join(rule.name for rule in rules) or "it has none"
        raise InputError(f"{bundle.path}: no site rule {printable(name, 40)}; {known}")
    return write_bundle(
        out, replace(NewBundle.from_parent(bundle), site_rules=kept), overwrite=overwrite
    )
