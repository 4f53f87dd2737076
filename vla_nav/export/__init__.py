"""Exported bundles: graph files from trained networks, proved equal before they may be used."""
