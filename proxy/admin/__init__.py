"""The second listener: `health` decides what to say, `listener` says it."""
