"""The token half: gets tokens, keeps them, renews them. It does not know that proxying exists."""
