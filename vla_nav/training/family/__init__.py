"""Training of the VLA family on recorded episodes: windows, feature cache, trainer, ensemble."""
