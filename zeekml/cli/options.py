"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from zeekml.config import Config
    from zeekml.outputs import OutputOptions
    from zeekml.readers.formats.zeek_header import Header
    from zeekml.readers.record_dates import RecordDates

_Command = Callable[..., Any]
_T = TypeVar("_T")
_U = TypeVar("_U")
GivenHeader = Callable[[], "Header | None"]  # of files without one, see `column_options`
# of the records that are wanted, see `dates_options`
GivenDates = Callable[[], "RecordDates | None"]

PATH: Final = click.Path(path_type=Path)

inputs_argument = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")


def path_option(names: str, metavar: str, text: str, **more: Any) -> Callable[[_Command], _Command]:
    """An option that takes a path; `names` are the option's and, if it is another, the key's."""
    return click.option(*names.split(), metavar=metavar, help=text, **{"type": PATH, **more})


config_option = path_option(
    "--config config_file",
    "FILE",
    "TOML configuration [default: /etc/zeekml/zeekml.toml if there is one].",
)
bundle_option = path_option(
    "--bundle", "DIR", "Model bundle [default: the one that comes with zeekml]."
)
rules_option = path_option(
    "--rules", "DIR", "Directory of policy.yaml [default: the rules that come with zeekml]."
)
bundle_out_option = path_option(
    "--out", "BUNDLE", "Directory of the bundle to write; see --overwrite.", required=True
)
overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace a bundle that is there already."
)
progress_option = click.option(
    "--no-progress", is_flag=True, help="No progress bar (none is shown on a pipe anyway)."
)
learner_option = click.option(
    "--learner",
    type=click.Choice(["joint", "reptile", "fomaml", "anil"]),
    default="joint",
    show_default=True,
    help="Joint training alone, or a meta-learner after it.",
)


class Setup:
    """What --config, --bundle and --rules come to: an option before the configuration's key.

    `bundle` and `rules` are None for those that come with zeekml.
    """

    def __init__(
        self, config_file: Path | None, bundle: Path | None = None, rules: Path | None = None
    ) -> None:
        self._file, self._bundle, self._rules = config_file, bundle, rules

    @cached_property
    def config(self) -> Config:
        """The configuration in force."""
        from zeekml.config import load_config

        return load_config(self._file)

    @property
    def bundle(self) -> Path | None:
        """The bundle's directory."""
        return chosen_path(self._bundle, self.config.bundle)

    @property
    def rules(self) -> Path | None:
        """The directory of policy and allowlist."""
        return chosen_path(self._rules, self.config.rules)


def setup_options(command: _Command) -> _Command:
    """`--bundle DIR`, `--rules DIR` and `--config FILE`, as the command's `setup`."""

    @wraps(command)
    def run(bundle: Path | None, rules: Path | None, config_file: Path | None, **given: Any) -> Any:
        return command(setup=Setup(config_file, bundle, rules), **given)

    return bundle_option(rules_option(config_option(run)))


def chosen_path(flag: Path | None, configured: str | None) -> Path | None:
    """An option's path, or else the configured one, or None."""
    return flag if flag is not None else Path(configured) if configured else None


def column_options(command: _Command) -> _Command:
    """`--columns NAMES` and `--like FILE`, as the command's `header` of files that have none.

    It is a function, so that nothing is imported before the command asks for it.
    """

    @click.option(
        "--columns",
        metavar="NAMES",
        help="Columns of tab-separated files without a header, all of them in their order: "
        "ts,uid,id.orig_h,…",
    )
    @path_option(
        "--like", "FILE", "Another file of the same log, whose header holds for files without one."
    )
    @wraps(command)
    def run(columns: str | None, like: Path | None, **given: Any) -> Any:
        def header() -> Header | None:
            from zeekml.readers.files.discovery import columns_like
            from zeekml.readers.formats.zeek_header import named_columns

            if columns is not None and like is not None:
                raise click.UsageError("give either --columns or --like")
            if like is not None:
                return columns_like(like)
            try:
                return named_columns(columns) if columns is not None else None
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="--columns") from error

        return command(header=header, **given)

    return run


def dates_options(command: _Command) -> _Command:
    """`--from`, `--to` and `--warm-up`, as the command's `dates`, which is a function, too."""

    @click.option(
        "--from",
        "begin",
        metavar="TIME",
        help="Only flows that ended then or later: 2026-11-20, 2026-11-20T08:30 (UTC; or with a "
        "zone, as +01:00), or epoch seconds.",
    )
    @click.option("--to", "end", metavar="TIME", help="Only flows that ended before.")
    @click.option(
        "--warm-up",
        metavar="TIME",
        help="How long before --from to begin reading, for context [default: 1h]: 30m, 12h; 7d for "
        "the history of pairs of hosts.",
    )
    @wraps(command)
    def run(begin: str | None, end: str | None, warm_up: str | None, **given: Any) -> Any:
        def dates() -> RecordDates | None:
            from zeekml.readers.record_dates import RecordDates, read_duration, read_moment

            values: dict[str, float] = {}
            for option, name, text in (("--from", "begin", begin), ("--to", "end", end)):
                if text is not None:
                    values[name] = _read(option, read_moment, text)
            if warm_up is not None:
                if begin is None:
                    raise click.UsageError("--warm-up needs --from")
                values["warm_up"] = _read("--warm-up", read_duration, warm_up)
            if not values:
                return None
            return _read("--to", lambda given: RecordDates(**given), values)

        return command(dates=dates, **given)

    return run


def _read(option: str, read: Callable[[_T], _U], given: _T) -> _U:
    """What an option says; what is wrong with it is told with its name."""
    try:
        return read(given)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def notice_options(command: _Command) -> _Command:
    """`--notice-format`, `--strict-notice` and `--also`."""
    forms, told = click.Choice(["json", "tsv"]), "Form of notice.log [default: json]."
    strictly = "Only Zeek's own columns in notice.log; ours go into `sub` as JSON."
    strict = click.option("--strict-notice", is_flag=True, help=strictly)
    also = click.option(
        "--also",
        multiple=True,
        metavar="FORMAT:FILE",
        help="Write all notices to FILE, too, in the form that a SIEM takes: ocsf, ecs or cef "
        "(or notice, as in notice.log). May be given several times.",
    )
    return click.option("--notice-format", type=forms, help=told)(strict(also(command)))


def output_options(config: Config, given: dict[str, Any]) -> OutputOptions:
    """What `notice_options` and other options of outputs come to with the configuration."""
    from zeekml.alerts.also import read_also
    from zeekml.outputs import OutputOptions

    form = given.pop("notice_format") or config.notice_format
    try:
        also = tuple(map(read_also, given.pop("also")))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--also") from error
    rejects = config.rejects_per_file
    return OutputOptions(notice_format=form, rejects_per_file=rejects, also=also, **given)


feed_option = path_option(
    "--feed",
    "DIR",
    "Directory for what Zeek and Suricata read back: notices, and the hosts they name.",
)


def report_option(name: str, what: str) -> Callable[[_Command], _Command]:
    """`--report DIR`, or a page that ends in .html; see `zeekml.html.page.report_page`."""
    again = "earlier ones there are replaced. A path that ends in .html is the page itself"
    return path_option(f"--report {name}", "DIR", f"Directory for {what}; {again}.")
