"""`zeekml bundle`: look at a model bundle and verify it."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def bundle() -> None:
    """Show or verify a model bundle."""


@bundle.command()
@click.argument("path", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.option("--pin", metavar="SHA256", help="Digest the bundle must have.")
def verify(path: Path | None, pin: str | None) -> None:
    """Check every digest, the feature schema and that all members run."""
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.ensemble.scoring import Ensemble

    loaded = load_bundle(path, pin=pin)
    Ensemble(loaded)
    click.echo(f"{loaded.path}: sound, {len(loaded.models)} members, sha256 {loaded.digest}")


@bundle.command()
@click.argument("path", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
@click.option("--card", is_flag=True, help="Print the model card.")
def show(path: Path | None, as_json: bool, card: bool) -> None:
    """Show what a bundle is: members, thresholds, training data, model card."""
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.ensemble.manifest import encode

    loaded = load_bundle(path)
    manifest = loaded.manifest
    if as_json:
        click.echo(encode(manifest).decode().rstrip("\n"))
        return
    if card:
        click.echo(loaded.model_card)
        return
    click.echo(f"{manifest.name}  ({loaded.path})")
    click.echo(f"sha256          {loaded.digest}")
    click.echo(f"feature schema  {manifest.feature_schema[:12]}, {len(manifest.features)} inputs")
    click.echo(f"members         {len(manifest.members)}, averaged as {manifest.combine}")
    thresholds = {t: round(v, 4) for t, v in manifest.thresholds.items()}
    click.echo(f"thresholds      {json.dumps(thresholds)}")
    click.echo("trained on")
    for source in manifest.training:
        click.echo(f"  {source.environment}: {source.rows:,} rows, {source.malicious:,} malicious")
