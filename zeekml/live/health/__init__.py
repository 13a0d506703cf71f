"""Self-monitoring of a watch: health checks and notices, Prometheus metrics, systemd."""
