"""Recorded episodes: schema, HDF5 store, readers of other layouts, split and linter."""
