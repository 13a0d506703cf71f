"""Bundle directories: everything that turns features into scores, under digests.

    manifest.json     what the rest is, with the SHA-256 of each file (see `manifest`)
    member_0.tflite … the members
    scaler.npz        mean, scale and fill per feature, and the clip
    pairs_0.tflite …  the members for pairs of hosts over days, and
    pairs_scaler.npz  their scaler
    reference.npz     attacks that no adaptation may make it miss
    MODEL_CARD.md     what the members were trained on and how they did
    model.sig         a signature, if it has one (see `signature`)

A bundle decides what is reported and what is not, so whoever can change it can hide an attack:
nothing in it is code or pickle, every byte is covered by the manifest's digests, and one that
others may write to is refused. A member that zeekml has not written itself is tried in another
process before it runs in this one (`trial_run`); what is installed with zeekml is believed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.ensemble import manifest as manifest_format
from zeekml.ensemble.interpreter import Member, MemberError
from zeekml.ensemble.manifest import FileEntry, PairEntry
from zeekml.ensemble.pair_models import PairModels
from zeekml.ensemble.reference_rows import MAX_REFERENCE, ReferenceRows, decode_reference
from zeekml.ensemble.scaler import MAX_SCALER, Scaler, decode_scaler
from zeekml.ensemble.signing.keys import read_public_key
from zeekml.ensemble.signing.signature import MAX_SIGNATURE, SIGNATURE_FILE, signed_digests
from zeekml.errors import BundleError

MANIFEST_FILE: Final = "manifest.json"
SCALER_FILE: Final = "scaler.npz"
PAIR_SCALER_FILE: Final = "pairs_scaler.npz"
REFERENCE_FILE: Final = "reference.npz"
CARD_FILE: Final = "MODEL_CARD.md"
SHORT_DIGEST: Final = 12

_PACKAGE: Final = Path(__file__).resolve().parents[1]
DEFAULT_BUNDLE: Final = _PACKAGE / "models" / "default"

# far above any honest bundle; they bound what a hostile one can make us hold
_MAX_MANIFEST: Final = 4 << 20
_MAX_MEMBER: Final = 64 << 20
_MAX_CARD: Final = 4 << 20

_tried: set[str] = set()  # digests of bundles whose members ran, in this process's time


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle that was read, checked and found to fit this version."""

    path: Path
    manifest: manifest_format.Manifest
    # SHA-256 of manifest.json in hex; that holds the digests of all other files, so this one value
    # stands for the whole bundle
    digest: str
    # the members' .tflite files, in the manifest's order
    models: tuple[bytes, ...] = field(repr=False)
    scaler: Scaler
    model_card: str  # Markdown
    pairs: PairModels | None = None  # what scores pairs of hosts over days, if it has that
    # see `reference`; empty if it has none
    reference_file: bytes = field(default=b"", repr=False)

    @property
    def short_digest(self) -> str:
        """The digest's first 12 hex digits, as notices carry it."""
        return self.digest[:SHORT_DIGEST]

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each of its files by name, in hex."""
        return {MANIFEST_FILE: self.digest, **_digests(self.manifest)}

    def reference(self) -> ReferenceRows | None:
        """The reference set, decoded; `BundleError`: it is damaged, or of another version."""
        if not self.reference_file:
            return None
        try:
            return decode_reference(self.reference_file)
        except BundleError as err:
            raise _unfit(self.path, REFERENCE_FILE, err) from err


def load_bundle(
    path: str | os.PathLike[str] | None = None,
    *,
    pin: str | None = None,
    public_key: str | os.PathLike[str] | None = None,
    signature: str | os.PathLike[str] | None = None,
) -> Bundle:
    """Read a bundle and check all of it.

    Parameters
    ----------
    path
        Directory of the bundle; None for the one that comes with zeekml.
    pin
        The digest the bundle must have (64 hex digits), or None.
    public_key
        A PEM file; with it the bundle must be signed by the key that belongs to it, and its
        directory must hold nothing else.
    signature
        File of that signature; by default model.sig in the directory.

    Returns
    -------
    Bundle
        With the files' contents in memory: what was checked is what will run, whatever happens
        to the directory later.

    Raises
    ------
    BundleError
        A file is missing, damaged or can be changed by others; the bundle is of another format,
        feature schema or set of classes; a member does not fit; or the digest is not the pinned
        one, or not signed. The message is one line and says what to do.
    ConfigError
        The public key cannot be used.
    """
    directory = DEFAULT_BUNDLE if path is None else Path(path)
    if path is None and not (directory / MANIFEST_FILE).is_file():
        raise BundleError(
            f"no bundle comes with this installation ({directory}); name one with --bundle, or "
            "make one with 'zeekml train'"
        )
    # A checkout under umask 002 makes every file group-writable, and whoever can write to the
    # installed bundle can as well write to the code beside it: no check could help there.
    inside_package = directory.resolve().is_relative_to(_PACKAGE)
    with _Directory(directory, check_modes=not inside_package) as files:
        files.follow_links = public_key is None
        data = files.read(MANIFEST_FILE, _MAX_MANIFEST)
        digest = hashlib.sha256(data).hexdigest()
        if pin is not None and pin.strip().lower() != digest:
            raise BundleError(
                f"bundle {directory} has the digest {digest}, not the pinned one; restore the "
                "pinned bundle, or change bundle_sha256 if the new one is wanted"
            )
        signed: dict[str, str] | None = None
        if public_key is not None:
            detached = None if signature is None else Path(signature)
            signed = _signed(files, Path(public_key), detached)
            if signed.get(MANIFEST_FILE) != digest:
                raise _not_signed(directory, f"{MANIFEST_FILE} is not the one that was signed")
        try:
            manifest = manifest_format.decode(data)
        except BundleError as err:
            raise BundleError(f"bundle {directory}: {MANIFEST_FILE}: {err}") from err
        if signed is not None and signed != {MANIFEST_FILE: digest, **_digests(manifest)}:
            raise _not_signed(directory, f"the signature is not of the files of {MANIFEST_FILE}")
        models = tuple(files.read_entry(entry, _MAX_MEMBER) for entry in manifest.members)
        pair_models: tuple[bytes, ...] = ()
        pair_scaler = b""
        if (pairs := manifest.pairs) is not None:
            pair_models = tuple(files.read_entry(entry, _MAX_MEMBER) for entry in pairs.members)
            pair_scaler = files.read_entry(pairs.scaler, MAX_SCALER)
        reference = b""
        if manifest.reference is not None:
            reference = files.read_entry(manifest.reference, MAX_REFERENCE)
        scaler_bytes = files.read_entry(manifest.scaler, MAX_SCALER)
        card = files.read_entry(manifest.model_card, _MAX_CARD)
    scaler = _scaler(directory, manifest.scaler, scaler_bytes, len(manifest.features))
    of_pairs = None
    if pairs is not None:
        if not inside_package:
            _check_plain(directory, pairs, pair_models)
        of_pairs = _pair_models(directory, pairs, pair_models, pair_scaler)
    text = card.decode(errors="replace")
    bundle = Bundle(directory, manifest, digest, models, scaler, text, of_pairs, reference)
    if not inside_package:
        _try_foreign(bundle)
    for entry, model in zip(manifest.members, models, strict=True):
        widths = len(manifest.features), len(entry.outputs), entry.embedding
        _check_member(directory, entry, model, *widths)
    return bundle


def _digests(manifest: manifest_format.Manifest) -> dict[str, str]:
    return {entry.file: entry.sha256 for entry in manifest.files()}


def _signed(files: _Directory, public_key: Path, signature: Path | None) -> dict[str, str]:
    """The digests that the key signed, by file name; `BundleError` if there are other files."""
    key = read_public_key(public_key)
    names = files.names()
    if signature is not None:
        try:
            with signature.open("rb") as file:
                data = file.read(MAX_SIGNATURE)
        except OSError as err:
            raise _not_signed(files.path, f"{signature}: {err.strerror}") from err
    elif SIGNATURE_FILE in names:
        data = files.read(SIGNATURE_FILE, MAX_SIGNATURE)
    else:
        raise _not_signed(files.path, f"there is no {SIGNATURE_FILE}")
    try:
        signed = signed_digests(data, key)
    except BundleError as err:
        raise BundleError(f"bundle {files.path}: {signature or SIGNATURE_FILE}: {err}") from err
    if strange := names - signed.keys() - {SIGNATURE_FILE}:
        told = printable(", ".join(sorted(strange)), 200)
        raise BundleError(
            f"bundle {files.path} holds files that are not signed ({told}); remove them, or "
            "restore the bundle from a copy"
        )
    return signed


def _not_signed(path: Path, reason: str) -> BundleError:
    return BundleError(
        f"bundle {path} has no valid signature: {reason}; run: zeekml bundle sign '{path}' --key "
        "PRIVATE.pem, if it is yours"
    )


def _scaler(directory: Path, entry: FileEntry, data: bytes, features: int) -> Scaler:
    """A scaler for so many features."""
    try:
        scaler = decode_scaler(data)
        scaler.check(features)
    except BundleError as err:
        raise BundleError(f"bundle {directory}: {entry.file}: {err}") from err
    return scaler


def _check_member(
    directory: Path,
    entry: FileEntry,
    model: bytes,
    inputs: int,
    outputs: int,
    embedding: int | None = None,
) -> None:
    """Make sure that LiteRT takes a model, and that it has the widths that the manifest says."""
    try:
        member = Member(model)
    except MemberError as err:
        raise _unfit(directory, entry.file, err) from err
    for form, has, told in (
        ("takes {} features", member.inputs, inputs),
        ("gives {} scores", member.outputs, outputs),
        ("gives an embedding of {}", member.embedding, embedding),
    ):
        if told is not None and has != told:
            reason = f"{form.format(has)}, the manifest says {told}"
            raise _unfit(directory, entry.file, reason)


def _check_plain(directory: Path, entry: PairEntry, models: tuple[bytes, ...]) -> None:
    """Refuse members for pairs that zeekml has not written itself."""
    from zeekml.ensemble.tflite_file import is_plain_mlp

    for own, model in zip(entry.members, models, strict=True):
        if not is_plain_mlp(model):
            raise _unfit(directory, own.file, "is not of the form that zeekml writes")


def _pair_models(
    directory: Path, entry: PairEntry, models: tuple[bytes, ...], scaler_bytes: bytes
) -> PairModels:
    """The ensemble for pairs, checked."""
    scaler = _scaler(directory, entry.scaler, scaler_bytes, len(entry.features))
    for own, model in zip(entry.members, models, strict=True):
        _check_member(directory, own, model, len(entry.features), len(entry.classes))
    return PairModels(models, scaler, entry.thresholds)


def try_members(bundle: Bundle, numbers: Sequence[int] | None = None) -> None:
    """Run members, by default all, on some rows in a process of its own.

    One that fails, gives numbers that are not finite, or takes too much memory or time is a
    `BundleError`.
    """
    from zeekml.ensemble.trial_run import failures

    if numbers is None:
        numbers = range(len(bundle.models))
    if not numbers:
        return
    found = failures([bundle.models[i] for i in numbers], len(bundle.manifest.features))
    for i, failure in zip(numbers, found, strict=False):
        if failure is not None:
            raise _unfit(bundle.path, bundle.manifest.members[i].file, failure)


def _try_foreign(bundle: Bundle) -> None:
    """Try the members that zeekml has not written itself, once per bundle and process."""
    # the schema of .tflite files takes a moment to import, and is not needed for what is installed
    from zeekml.ensemble.tflite_file import is_plain_mlp

    if bundle.digest not in _tried:
        models = enumerate(bundle.models)
        try_members(bundle, [i for i, model in models if not is_plain_mlp(model)])
        _tried.add(bundle.digest)


def _unfit(path: Path, file: str, reason: object) -> BundleError:
    return BundleError(f"bundle {path}: {file}: {reason}; make the bundle again")


class _Directory:
    """An open bundle directory, relative to which its files are opened.

    So all of them come from one directory even while its name is being moved to another.
    """

    def __init__(self, path: Path, *, check_modes: bool) -> None:
        self.path = path
        self.follow_links = True
        self._check_modes = check_modes
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as err:
            raise BundleError(
                f"bundle {path} cannot be opened ({err.strerror}); name the directory that holds "
                f"{MANIFEST_FILE}"
            ) from err

    def __enter__(self) -> _Directory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def read_entry(self, entry: FileEntry, limit: int) -> bytes:
        """Contents of a file, if they are what the manifest says."""
        data = self.read(entry.file, limit)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleError(
                f"bundle {self.path}: {entry.file} was changed or damaged (its digest is not that "
                f"of {MANIFEST_FILE}); restore it from a copy, or make the bundle again"
            )
        return data

    def read(self, name: str, limit: int) -> bytes:
        self._check_mode(self._handle, self.path)
        # without blocking: what claims to be a file might be a pipe
        flags = os.O_RDONLY | os.O_NONBLOCK | (0 if self.follow_links else os.O_NOFOLLOW)
        try:
            handle = os.open(name, flags, dir_fd=self._handle)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise BundleError(f"bundle {self.path}: {name} is not a regular file")
                self._check_mode(handle, self.path / name)
                data = file.read(limit + 1)
        except OSError as err:
            if err.errno == errno.ELOOP:
                told = (
                    f"bundle {self.path}: {name} is a link; the files of a signed bundle are plain"
                )
                raise BundleError(told) from err
            raise BundleError(
                f"bundle {self.path}: {name} cannot be read ({err.strerror}); restore it from a "
                "copy, or make the bundle again"
            ) from err
        if len(data) > limit:
            raise BundleError(f"bundle {self.path}: {name} is larger than {limit} bytes")
        return data

    def names(self) -> set[str]:
        """All that is in it."""
        with os.scandir(self._handle) as entries:
            return {entry.name for entry in entries}

    def _check_mode(self, handle: int, path: Path) -> None:
        mode = os.fstat(handle).st_mode
        if self._check_modes and mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BundleError(
                f"bundle {self.path} can be changed by others ({path} has mode "
                f"{stat.S_IMODE(mode):04o}); run: chmod -R go-w '{self.path}'"
            )
