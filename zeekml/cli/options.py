"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from zeekml.config import Config
    from zeekml.readers.formats.zeek_header import Header

_Command = Callable[..., Any]

inputs_argument = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")


def column_options(command: _Command) -> _Command:
    """`--columns NAMES` and `--like FILE`."""
    for option in (
        click.option(
            "--like",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Another file of the same log, whose header holds for files without one.",
        ),
        click.option(
            "--columns",
            metavar="NAMES",
            help="Columns of tab-separated files without a header, all of them in their order: "
            "ts,uid,id.orig_h,…",
        ),
    ):
        command = option(command)
    return command


def given_header(columns: str | None, like: Path | None) -> Header | None:
    """What `column_options` say."""
    from zeekml.readers.files.discovery import columns_like
    from zeekml.readers.formats.zeek_header import named_columns

    if columns is not None and like is not None:
        raise click.UsageError("give either --columns or --like")
    if like is not None:
        return columns_like(like)
    if columns is None:
        return None
    try:
        return named_columns(columns)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--columns") from error


def config_option(command: _Command) -> _Command:
    """`--config FILE`."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="TOML configuration [default: /etc/zeekml/zeekml.toml if there is one].",
    )(command)


def bundle_option(command: _Command) -> _Command:
    """`--bundle DIR`."""
    return click.option(
        "--bundle",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Model bundle [default: the one that comes with zeekml].",
    )(command)


def rules_option(command: _Command) -> _Command:
    """`--rules DIR`."""
    return click.option(
        "--rules",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Directory of policy.yaml [default: the rules that come with zeekml].",
    )(command)


def notice_options(command: _Command) -> _Command:
    """`--notice-format` and `--strict-notice`."""
    for option in (
        click.option(
            "--strict-notice",
            is_flag=True,
            help="Only Zeek's own columns in notice.log; ours go into `sub` as JSON.",
        ),
        click.option(
            "--notice-format",
            type=click.Choice(["json", "tsv"]),
            help="Form of notice.log [default: json].",
        ),
    ):
        command = option(command)
    return command


def progress_option(command: _Command) -> _Command:
    """`--no-progress`."""
    return click.option(
        "--no-progress", is_flag=True, help="No progress bar (none is shown on a pipe anyway)."
    )(command)


def learner_option(command: _Command) -> _Command:
    """`--learner NAME`."""
    return click.option(
        "--learner",
        type=click.Choice(["joint", "reptile", "fomaml", "anil"]),
        default="joint",
        show_default=True,
        help="Joint training alone, or a meta-learner after it.",
    )(command)


def settings(config_file: Path | None) -> Config:
    """The configuration in force."""
    from zeekml.config import load_config

    return load_config(config_file)


def chosen_path(flag: Path | None, configured: str | None) -> Path | None:
    """The flag's path, or the configured one, or None for what comes with zeekml."""
    return flag if flag is not None else Path(configured) if configured else None
