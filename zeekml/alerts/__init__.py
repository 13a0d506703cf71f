"""Notices in the forms that a SOC's pipes read: notice.log lines and EVE alerts."""
