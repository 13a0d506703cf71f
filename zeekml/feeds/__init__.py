"""Feeds for sensors: notices and hosts in the forms that Zeek and Suricata read; imports alerts."""
