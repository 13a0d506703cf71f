"""Notices as lines of notice.log, as EVE alerts and as JSON; imports detection."""
