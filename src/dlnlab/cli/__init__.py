"""The command line `dln`: one file for each command, and what they share.

Nothing here imports JAX, xarray or matplotlib before a command needs it, so that `dln --help` is
instant.
"""
