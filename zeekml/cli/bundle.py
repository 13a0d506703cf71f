"""`zeekml bundle`: look at a model bundle, verify or sign it, keep versions, import Keras ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from zeekml.cli.options import PATH, bundle_out_option, overwrite_option, path_option
from zeekml.core.text import printable
from zeekml.core.units import counted

_IMPORT_EPILOG = """\b
Examples:
  zeekml bundle import-keras model_*.keras --scaler scaler.npz --out my-bundle
  zeekml bundle import-keras net.h5 --scaler scaler.json --classes benign,scan,dos --out my-bundle
"""

_BETWEEN = click.FloatRange(0, 1, min_open=True, max_open=True)
_SHARE: dict[str, Any] = {"type": _BETWEEN, "default": 0.5, "show_default": True}
_USUAL = {"training": "benign training rows", "site": "the site's ordinary flows"}


@click.group()
def bundle() -> None:
    """Show, verify or sign a model bundle, keep versions of it, or make one of Keras models."""


_SIGN_EPILOG = """\b
Examples:
  openssl genpkey -algorithm ed25519 -out private.pem
  openssl pkey -in private.pem -pubout -out public.pem
  zeekml bundle sign my-bundle --key private.pem
  zeekml bundle verify my-bundle --key public.pem
"""
signature_option = path_option(
    "--signature", "FILE", "File of the signature [default: model.sig in the bundle]."
)


@bundle.command(epilog=_SIGN_EPILOG)
@click.argument("path", required=False, type=PATH, metavar="[DIR]")
@click.option("--pin", metavar="SHA256", help="Digest the bundle must have.")
@path_option("--key", "PUBLIC.pem", "Public key of whoever must have signed the bundle.")
@signature_option
def verify(path: Path | None, pin: str | None, key: Path | None, signature: Path | None) -> None:
    """Check every digest, the feature schema and that all members run; and a signature."""
    from zeekml.cli.console import say
    from zeekml.ensemble.bundle import load_bundle, try_members

    if signature is not None and key is None:
        raise click.UsageError("--signature needs --key, the public key of who made it.")
    loaded = load_bundle(path, pin=pin, public_key=key, signature=signature)
    try_members(loaded)
    signed = "" if key is None else f", signed by the key of {key}"
    say(f"{loaded.path}: sound, {len(loaded.models)} members, sha256 {loaded.digest}{signed}")


@bundle.command(epilog=_SIGN_EPILOG)
@click.argument("path", type=PATH, metavar="BUNDLE")
@path_option("--key", "PRIVATE.pem", "Private key, Ed25519 or ECDSA, in PEM.", required=True)
@signature_option
def sign(path: Path, key: Path, signature: Path | None) -> None:
    """Sign a bundle, all files of it, for `bundle verify --key` and `bundle_public_key`.

    The form is that of the OpenSSF's model signing. A passphrase of the key is asked for.
    """
    from zeekml.cli.console import say
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.ensemble.signing.keys import NeedsPassphraseError, key_hint, read_private_key
    from zeekml.ensemble.signing.sign_bundle import sign_bundle

    loaded = load_bundle(path)
    try:
        signer = read_private_key(key)
    except NeedsPassphraseError:
        told = f"Passphrase of {printable(str(key), None)}"
        signer = read_private_key(key, click.prompt(told, hide_input=True, err=True))
    place = sign_bundle(loaded, signer, signature)
    hint = key_hint(signer.public_key())
    say(f"{place}: signed sha256 {loaded.digest} with the key {hint[:12]}")


@bundle.command()
@click.argument("path", required=False, type=PATH, metavar="[DIR]")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.option("--card", is_flag=True, help="Print the model card.")
def show(path: Path | None, as_json: bool, card: bool) -> None:
    """Show what a bundle is: members, thresholds, training data, model card."""
    from zeekml.cli.console import say
    from zeekml.detection.site_rules import words
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.ensemble.manifest import encode

    loaded = load_bundle(path)
    manifest = loaded.manifest
    if as_json:
        say(encode(manifest).decode().rstrip("\n"))
        return
    if card:
        say(loaded.model_card)
        return
    # each of these is one line, so that no name can pass for one of ours
    say(f"{printable(manifest.name, None)}  ({loaded.path})")
    say(f"sha256          {loaded.digest}")
    say(f"feature schema  {manifest.feature_schema[:12]}, {len(manifest.features)} inputs")
    say(f"members         {len(manifest.members)}, averaged as {manifest.combine}")
    thresholds = {t: round(v, 4) for t, v in manifest.thresholds.items()}
    say(f"thresholds      {json.dumps(thresholds)}")
    say(f"usual values    of {_USUAL[manifest.usual_source]}")
    if (profile := manifest.profile) is not None:
        days = counted(profile.days, "day")
        say(f"drift           seen against {profile.flows:,} flows of {days} at calibration")
    if manifest.parent is not None:
        say(f"made from       {manifest.parent[:12]}")
    site = manifest.evaluation.get("site")
    if isinstance(site, dict):
        say(f"calibrated      {json.dumps(site)}")
    adapted = manifest.evaluation.get("adapted")
    if isinstance(adapted, dict):
        for reason in adapted.get("reasons", []):
            say(f"adapted         {printable(str(reason), 400)}")
    for rule in manifest.site_rules:
        say(f"site rule       {rule.name}: {rule.threat} is not raised by flows with {words(rule)}")
    say("trained on")
    for source in manifest.training:
        name = printable(source.environment, None)
        say(f"  {name}: {source.rows:,} rows, {source.malicious:,} malicious")
    if not manifest.training:
        say("  data that the bundle does not state")


_STORE_EPILOG = """\b
Examples:
  zeekml bundle promote --store /var/lib/zeekml-bundles
  zeekml bundle promote my-bundle --store /var/lib/zeekml-bundles
  zeekml watch --zeek /opt/zeek/logs/current --bundle /var/lib/zeekml-bundles/current ...
  zeekml bundle rollback --store /var/lib/zeekml-bundles
"""
store_option = path_option("--store", "DIR", "Directory of versions.", required=True)


@bundle.command("list", epilog=_STORE_EPILOG)
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print the versions as JSON.")
def list_(store: Path, as_json: bool) -> None:
    """List the versions in a store, the one in force first."""
    from zeekml.cli.console import PlainTable, output_console, say
    from zeekml.ensemble.bundle_store import BundleStore

    versions = BundleStore(store).versions()
    if as_json:
        say(json.dumps([version.as_dict() for version in versions], indent=2))
        return
    table = PlainTable("bundle", "", "name", "made from", "adapted by", "site rules")
    for version in versions:
        told = version.as_dict()
        state = "in force" if version.current else "before" if version.place >= 0 else ""
        name, parent = printable(told["name"], 40), (told["parent"] or "")[:12]
        kind = printable(told["kind"] or "", 20)
        table.add(told["sha256"][:12], state, name, parent, kind, str(told["site_rules"]))
    output_console().print(table)


@bundle.command(epilog=_STORE_EPILOG)
@click.argument("path", type=PATH, required=False, metavar="[BUNDLE]")
@store_option
@path_option("--key", "PUBLIC.pem", "Public key of whoever must have signed the bundle.")
def promote(path: Path | None, store: Path, key: Path | None) -> None:
    """Put a bundle in force: copy it into a store and point STORE/current to it.

    BUNDLE is a directory, or the first digits of a version that is in the store; by default what
    comes with zeekml. A watch that runs with --bundle STORE/current takes it up within seconds,
    without a restart.
    """
    from zeekml.cli.console import say
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.ensemble.bundle_store import BundleStore

    versions = BundleStore(store)
    known = None if path is None or path.is_dir() else versions.version(str(path))
    place = versions.promote(load_bundle(path if known is None else known, public_key=key))
    say(f"{versions.link}: {place.name}")


@bundle.command(epilog=_STORE_EPILOG)
@store_option
def rollback(store: Path) -> None:
    """Put the version in force that was so before."""
    from zeekml.cli.console import say
    from zeekml.ensemble.bundle_store import BundleStore

    versions = BundleStore(store)
    place = versions.rollback()
    say(f"{versions.link}: {place.name}")


@bundle.command()
@click.argument("rule", metavar="RULE")
@click.argument("path", type=PATH, metavar="BUNDLE")
@path_option("--to", "DIR", "Directory of the bundle to write; see --overwrite.", required=True)
@overwrite_option
def remove_rule(rule: str, path: Path, to: Path, overwrite: bool) -> None:
    """Write a bundle without one of its site rules, which `bundle show` lists by name."""
    from zeekml.cli.console import say
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.ensemble.bundle_store import without_rule

    made = without_rule(load_bundle(path), rule, to, overwrite=overwrite)
    say(f"bundle written to {made.path}, sha256 {made.digest}")


@bundle.command(epilog=_IMPORT_EPILOG)
@click.argument("models", nargs=-1, required=True, type=PATH, metavar="MODEL...")
@path_option(
    "--scaler",
    "FILE",
    "Mean and scale of each feature (.npz, .json, .parquet or .csv). Needed unless every model "
    "begins with a Normalization layer.",
)
@path_option(
    "--features",
    "FILE",
    "Names of the models' inputs in order [default: those in the scaler file, or all columns of "
    "`zeekml features`].",
)
@bundle_out_option
@click.option("--name", default="keras", show_default=True, help="Name kept in the manifest.")
@click.option(
    "--classes",
    metavar="A,B,...",
    help="Names of the outputs, in the models' order [default: benign,malicious, or zeekml's "
    "eight classes].",
)
@click.option("--threshold", help="Score from which an incident is reported.", **_SHARE)
@click.option(
    "--base-rate",
    help="Share of malicious flows in the training data; a flow of this score tells nothing.",
    **_SHARE,
)
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def import_keras(
    models: tuple[Path, ...], out: Path, classes: str | None, as_json: bool, **options: Any
) -> None:
    """Make a bundle of Keras models (.h5, .keras) trained on `zeekml features` tables.

    Its score is the mean of the models' probabilities, as Keras gives them. Neither Keras nor
    TensorFlow is needed, and no code in the files is run.
    """
    from zeekml.cli.console import say
    from zeekml.keras_import import convert

    names = None if classes is None else [part.strip() for part in classes.split(",")]
    report = convert.import_keras(models, out, classes=names, **options)
    made = report.bundle
    if as_json:
        summary = {
            "bundle": str(made.path),
            "sha256": made.digest,
            "features": len(made.manifest.features),
            "members": made.manifest.evaluation["keras"],
        }
        say(json.dumps(summary, indent=2))
        return
    for model, outputs in zip(report.models, report.outputs, strict=True):
        say(f"{model.file}: {', '.join(outputs)}")
    say(f"bundle written to {made.path}, sha256 {made.digest}")
