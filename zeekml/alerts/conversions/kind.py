"""What kind of line it is, how bad, and how sure."""

from __future__ import annotations

from typing import Any, Final

from zeekml.alerts.confidence_word import confidence_word
from zeekml.alerts.conversions.plain import Values
from zeekml.detection.notice import NOTES, SEVERITIES

_FINDINGS: Final = frozenset(NOTES.values())
_OCSF_SEVERITY: Final = dict(zip(SEVERITIES, (2, 3, 4, 5), strict=True))
_ECS_SEVERITY: Final = dict(zip(SEVERITIES, (21, 47, 73, 99), strict=True))
_CEF_SEVERITY: Final = dict(zip(SEVERITIES, (3, 5, 8, 10), strict=True))
_LOG_LEVELS: Final = dict(zip(SEVERITIES, ("info", "warning", "error", "error"), strict=True))
_CONFIDENCE: Final = {"Low": 1, "Medium": 2, "High": 3}
_ACTIVITIES: Final = {"open": (1, "Create"), "update": (2, "Update"), "closed": (3, "Close")}
_FINDING, _ERROR = 2004, 6008
_NAMES_OF_CLASSES: Final = {_FINDING: "Detection Finding", _ERROR: "Application Error"}
_OTHER: Final = 99


def is_finding(values: Values) -> bool:
    """Whether the notice is about traffic; else it is about the health of sensor or watch."""
    return values.get("note") in _FINDINGS or bool(values.get("zeekml_threat"))


def ocsf_severity_id(value: Any, _: Values) -> int:
    """2 low, 3 medium, 4 high, 5 critical; 0 for any other."""
    return _OCSF_SEVERITY.get(value, 0)


def ocsf_severity(value: Any, _: Values) -> str:
    """`Low`, `Medium`, `High`, `Critical`."""
    return str(value).capitalize() if value in _OCSF_SEVERITY else "Unknown"


def ecs_severity(value: Any, _: Values) -> int | None:
    """21 low, 47 medium, 73 high, 99 critical, as Elastic's rules count."""
    return _ECS_SEVERITY.get(value)


def cef_severity(value: Any, _: Values) -> int | str:
    """3 low, 5 medium, 8 high, 10 critical."""
    return _CEF_SEVERITY.get(value, "Unknown")


def log_level(value: Any, values: Values) -> str | None:
    """Of a notice about health: `info`, `warning` or `error`."""
    return None if is_finding(values) else _LOG_LEVELS.get(value)


def ocsf_confidence_id(value: Any, values: Values) -> int:
    """1 low, 2 medium from 50 % on, 3 high from 75 % on."""
    return _CONFIDENCE[confidence_word(value, values.get("zeekml_spread"))]


def ocsf_confidence(value: Any, values: Values) -> str:
    """`Low`, `Medium`, `High`."""
    return confidence_word(value, values.get("zeekml_spread"))


def class_uid(value: Any, values: Values) -> int:
    """2004, Detection Finding; 6008, Application Error, for a notice about health."""
    return _FINDING if is_finding(values) else _ERROR


def class_name(value: Any, values: Values) -> str:
    """The name of the class."""
    return _NAMES_OF_CLASSES[class_uid(value, values)]


def category_uid(value: Any, values: Values) -> int:
    """2, Findings; 6, Application Activity, for a notice about health."""
    return class_uid(value, values) // 1000


def category_name(value: Any, values: Values) -> str:
    """The name of the category."""
    return "Findings" if is_finding(values) else "Application Activity"


def activity_id(value: Any, values: Values) -> int:
    """1 create, 2 update, 3 close; of health: 1 error, 99 over, or nothing wrong."""
    return _activity(value, values)[0]


def activity_name(value: Any, values: Values) -> str:
    """The name of the activity."""
    return _activity(value, values)[1]


def type_uid(value: Any, values: Values) -> int:
    """The class times 100, plus the activity."""
    return class_uid(value, values) * 100 + activity_id(value, values)


def type_name(value: Any, values: Values) -> str:
    """The names of class and activity."""
    return f"{class_name(value, values)}: {activity_name(value, values)}"


def status_id(value: Any, values: Values) -> int:
    """1 new, 99 closed (nobody looked at it yet); of health: 1 success, 2 failure."""
    if not is_finding(values):
        return 2 if _is_error(value, values) else 1
    return _OTHER if value == "closed" else 1


def status(value: Any, values: Values) -> str:
    """The name of the status."""
    if not is_finding(values):
        return "Failure" if _is_error(value, values) else "Success"
    return "Closed" if value == "closed" else "New"


def is_alert(value: Any, _: Values) -> bool:
    """True, but for a line that closes: severity may rise with an update."""
    return value != "closed"


def event_kind(value: Any, values: Values) -> str:
    """`alert`; `event` for a line that closes, and for a notice about health."""
    return "alert" if is_finding(values) and value != "closed" else "event"


def event_category(value: Any, values: Values) -> list[str] | None:
    """`network` and `intrusion_detection`; nothing for a notice about health."""
    return ["network", "intrusion_detection"] if is_finding(values) else None


def event_dataset(value: Any, values: Values) -> str:
    """`zeekml.alert`, or `zeekml.health` for a notice about health."""
    return "zeekml.alert" if is_finding(values) else "zeekml.health"


def _activity(value: Any, values: Values) -> tuple[int, str]:
    if is_finding(values):
        return _ACTIVITIES.get(value, (_OTHER, str(value)))
    return (1, "General Error") if _is_error(value, values) else (_OTHER, "Health")


def _is_error(value: Any, values: Values) -> bool:
    """Whether a notice about health says that something is wrong, once or from now on."""
    over = value == "closed" and bool(values.get("zeekml_seq"))
    return not over and not str(values.get("note")).endswith("::Sensor_Health")
