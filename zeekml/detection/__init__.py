"""Detection: policy, allowlist, and the incidents that candidates become; imports the ensemble."""
