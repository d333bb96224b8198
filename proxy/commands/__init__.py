"""The command line: one file for each command, imported only when it is the one that was typed."""
