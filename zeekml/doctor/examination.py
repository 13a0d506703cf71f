"""The whole check: configuration, logs, directories, models, rules, machine and service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeekml.config import DEFAULT_CONFIG, Config, load_config
from zeekml.doctor import machine
from zeekml.doctor.access import Account
from zeekml.doctor.directories import examine_feed, examine_out, examine_state
from zeekml.doctor.finding import Check, Finding
from zeekml.doctor.logs import chosen_logs, examine_log
from zeekml.doctor.sinks import examine_sink
from zeekml.doctor.suricata_commands import examine_suricata_socket
from zeekml.errors import BundleError, ConfigError, DataError
from zeekml.readers.formats.zeek_header import Header
from zeekml.sink_config import CommandSettings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `zeekml watch` would be given; each empty or None for the configuration's."""

    zeek: Sequence[str] = ()
    suricata: Sequence[str] = ()
    out: Path | None = None
    state: Path | None = None
    bundle: Path | None = None
    rules: Path | None = None
    config: Path | None = None
    columns: Header | None = None  # of logs of Zeek without a header


def examine(wanted: Wanted, root: Path = Path("/")) -> list[Finding]:
    """Look at everything and change nothing.

    Files for a test of whether a directory can be written have no name and are gone at once. For
    tests, `root` stands for ``/``.
    """
    account = Account.examined()
    config, check = Config(), Check("configuration", wanted.config or DEFAULT_CONFIG)
    try:
        config = load_config(wanted.config)
    except ConfigError as error:
        findings = [check.fail(str(error), "every key is explained in docs/configuration.md")]
    else:
        defaults = wanted.config is None and not DEFAULT_CONFIG.is_file()
        told = "is not there; defaults are in force" if defaults else "no mistakes"
        findings = [check.ok(told)]
    named = wanted if wanted.zeek or wanted.suricata else config
    logs, trouble = chosen_logs(named.zeek, named.suricata, account, root)
    findings += trouble
    for log in logs:
        findings += examine_log(log, logs, account, root, wanted.columns)
    out = _directory(wanted.out, config.out, root / "var/log/zeekml")
    state = _directory(wanted.state, config.state, root / "var/lib/zeekml")
    absent = "is neither given nor configured"
    if out is None:
        findings.append(Check("out_directory", "--out").unknown(absent))
    else:
        findings += examine_out(out, [log.path for log in logs], account)
    if state is None:
        findings.append(Check("state_directory", "--state").unknown(absent))
    else:
        findings += examine_state(state, out, account, config.journal_mb << 20)
    if config.feed is not None:
        findings += examine_feed(Path(config.feed), out, state, account)
    if config.suricata_socket is not None:
        findings += examine_suricata_socket(Path(config.suricata_socket), account)
    findings += _models_and_rules(wanted, config)
    findings += [examine_sink(name, sink, account) for name, sink in config.sinks.items()]
    findings += [machine.examine_notifications(), machine.examine_open_files()]
    sends = [n for n, sink in config.sinks.items() if not isinstance(sink, CommandSettings)]
    return [*findings, *machine.examine_unit(root, sends)]


def _directory(flag: Path | None, configured: str | None, of_service: Path) -> Path | None:
    if flag is not None:
        return flag
    if configured is not None:
        return Path(configured)
    return of_service if of_service.is_dir() else None


def _models_and_rules(wanted: Wanted, config: Config) -> list[Finding]:
    from zeekml.detection.policy import load_policy

    findings = []
    thresholds = None
    named = wanted.bundle or (Path(config.bundle) if config.bundle else None)
    try:
        bundle = config.load_bundle(named)
    except (BundleError, ConfigError, DataError) as error:
        remedy = "install the bundle again, or name another with --bundle"
        findings.append(Check("bundle", named or "bundle").fail(str(error), remedy))
    else:
        thresholds = bundle.manifest.thresholds
        pinned = "as pinned" if config.bundle_sha256 else "not pinned by bundle_sha256"
        signed = ", signed as bundle_public_key wants it" if config.bundle_public_key else ""
        text = f"{bundle.manifest.name}, sha256 {bundle.short_digest}, {pinned}{signed}"
        findings.append(Check("bundle", bundle.path).ok(text))
    rules = wanted.rules or (Path(config.rules) if config.rules else None)
    try:
        policy = load_policy(rules)
        if thresholds is not None:
            policy.thresholds(thresholds)
    except ConfigError as error:
        remedy = "correct the line, and see: zeekml rules check"
        findings.append(Check("rules", rules or "rules").fail(str(error), remedy))
    else:
        text = f"{len(policy.detectors)} detectors, no mistakes"
        findings.append(Check("rules", policy.file).ok(text))
    return findings
