"""From scored rows to notices: the rules, the incidents they make, and the logs they go to."""
