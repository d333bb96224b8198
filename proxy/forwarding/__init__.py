"""The forwarding half: requests in, answers out. It does not know that OAuth exists."""
