"""Readers that bring Zeek's and Suricata's records into one Arrow schema."""
