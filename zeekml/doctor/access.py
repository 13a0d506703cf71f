"""File permissions: who may read or write what, and what would let the service do it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.doctor.finding import Check, Finding

SERVICE_USER: Final = "zeekml"  # user of the unit that comes with zeekml


@dataclass(frozen=True, slots=True)
class Account:
    """The user whose rights are looked at."""

    name: str
    uid: int
    groups: frozenset[int]  # all of them, the primary one too
    ours: bool  # whether this process runs as that user, so that the system itself can be asked

    @classmethod
    def examined(cls) -> Account:
        """The user of this process; for root, who may do anything, that of the service."""
        uid = os.geteuid()
        if uid == 0:
            try:
                entry = pwd.getpwnam(SERVICE_USER)
            except KeyError:
                pass
            else:
                groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
                return cls(entry.pw_name, entry.pw_uid, frozenset(groups), False)
        return cls(_user(uid), uid, frozenset((os.getegid(), *os.getgroups())), True)

    def may(self, path: Path, status: os.stat_result, need: int) -> bool:
        """Tell whether the user has the rights `need`, some of 4 (read), 2 (write), 1 (search)."""
        if self.ours:
            return os.access(path, need, effective_ids=True)
        in_group = status.st_gid in self.groups
        shift = 6 if self.uid == status.st_uid else 3 if in_group else 0
        return (status.st_mode >> shift) & need == need


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The first file or directory on a way that cannot be passed."""

    path: Path
    text: str  # who owns it, and its mode
    remedy: str  # command that lets the service pass
    certain: bool  # False where access lists may say otherwise, unseen for another user

    def finding(self, check: Check, account: Account, what: str, remedy: str = "") -> Finding:
        """The finding that a user may not do something, with this remedy in place of one's own."""
        text = f"{account.name} may not {what}: {self.path} is {self.text}"
        if self.certain:
            return check.fail(text, remedy or self.remedy)
        text += "; there is an access list, which cannot be looked at for another user"
        return check.unknown(text, f"try: sudo -u {account.name} zeekml check")


def obstacle(path: Path, account: Account, need: int = os.R_OK) -> Obstacle | None:
    """What keeps a user from a file or directory; None if nothing does.

    `need` are the rights at the end of the way; on the way it is the right to search. `OSError`:
    something on the way is not there.
    """
    real = Path(os.path.realpath(path))
    for step in (*reversed(real.parents), real):
        wanted = need if step == real else os.X_OK
        status = step.stat()
        if not account.may(step, status, wanted):
            return _obstacle(step, status, wanted, account)
    return None


def _obstacle(path: Path, status: os.stat_result, need: int, account: Account) -> Obstacle:
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    text = f"owned by {_user(status.st_uid)}:{group}, mode {stat.S_IMODE(status.st_mode):04o}"
    joins = status.st_gid not in account.groups and status.st_gid != 0
    if joins and (status.st_mode >> 3) & need == need:
        remedy = (
            f"usermod -aG {group} {account.name}, add {group} to SupplementaryGroups= "
            "(systemctl edit zeekml), and restart"
        )
    else:
        letters = "".join(c for bit, c in ((4, "r"), (2, "w"), (1, "x")) if need & bit)
        letters += "x" if path.is_dir() and "x" not in letters else ""
        remedy = f"setfacl -m u:{account.name}:{letters} {path}"
    try:
        has_list = bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        has_list = False
    return Obstacle(path, text, remedy, account.ours or not has_list)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
