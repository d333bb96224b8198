"""`token-proxy doctor`: asks every server that `run` would ask, and says what is wrong."""
