"""The signature of `build` is the schema: its flags, its sweep axes, its coordinates.

`schema` reads a typed function, `check` validates a value, `parse` reads the command line's texts,
and `grid` lays out the points of a sweep in groups that share one compilation.
"""

from dlnlab.schema.grids import Grid, Group, grid
from dlnlab.schema.signature import RESERVED, Coordinate, Kind, Parameter, schema
from dlnlab.schema.texts import MOST_POINTS, parse
from dlnlab.schema.values import check, check_all

__all__ = [
    "MOST_POINTS",
    "RESERVED",
    "Coordinate",
    "Grid",
    "Group",
    "Kind",
    "Parameter",
    "check",
    "check_all",
    "grid",
    "parse",
    "schema",
]
