"""What flows were about: the events of DNS, HTTP and TLS that sensors log beside them."""
