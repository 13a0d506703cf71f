"""Push: notices to webhooks, syslog and commands, through a queue of its own; imports alerts."""
