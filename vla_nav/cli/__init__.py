"""The command line, ``vla-nav``."""
