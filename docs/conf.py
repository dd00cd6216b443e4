"""Sphinx, with nothing fetched from anywhere: formulas are MathML, drawn by the browser itself."""

import importlib.metadata
import inspect

from docutils import nodes
from docutils.statemachine import StringList
from latex2mathml.converter import convert
from sphinx.util.docutils import SphinxDirective

project = "dlnlab"
author = copyright = "The dlnlab developers"
release = version = importlib.metadata.version("dlnlab")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# CONTRIBUTING.md and the README stand outside the site.
suppress_warnings = ["myst.xref_missing"]
exclude_patterns = ["figures"]
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = "dlnlab"
html_math_renderer = "mathml"
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"


def _inline(self, node):
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _display(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(convert(node.astext(), display="block"))
    self.body.append("</div>")
    raise nodes.SkipNode


def _written(text):
    """A docstring's body without its indentation, below the entry that it belongs to."""
    return ["   " + line for line in _plain(inspect.cleandoc(text or "")).splitlines()]


def _plain(text):
    """Bars of absolute values are no substitutions, nor is an asterisk within words emphasis."""
    parts = text.split("`")
    parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
    return "`".join(parts)


class Observables(SphinxDirective):
    """Every observable with its symbol, formula and dimensions: autodoc does not see instances."""

    def run(self):
        from dlnlab import observables

        lines = []
        for one in observables.EXAMPLES:
            dims = f", over {', '.join(one.dims)}" if one.dims else ""
            lines += [f"``{one.name}`` — {_plain(one.symbol)}{dims}", f"   ``{one.formula}``", ""]
            lines += [*_written(one.function.__doc__), ""]
        return _parsed(self, lines)


class Predictions(SphinxDirective):
    """Every prediction with what it is of, its assumptions and its source."""

    def run(self):
        from dlnlab.theory.catalogue import PREDICTIONS

        lines = []
        for one in PREDICTIONS:
            arguments = ", ".join(inspect.signature(one.function).parameters)
            assumes = "; ".join(a.sentence for a in one.assumes) or "nothing further"
            lines += [f"``{one.name}({arguments})`` — {_plain(one.symbol)}, of ``{one.of}``"]
            lines += [*_written(one.function.__doc__), ""]
            lines += [f"   Assumes: {_plain(assumes)}. Source: {one.source}.", ""]
        return _parsed(self, lines)


def _without_bars(app, what, name, obj, options, lines):
    lines[:] = _plain("\n".join(lines)).split("\n")


def _parsed(directive, lines):
    return directive.parse_text_to_nodes("\n".join(StringList(lines, "catalogue")))


def setup(app):
    """Teach Sphinx to write MathML, and the two catalogues."""
    app.connect("autodoc-process-docstring", _without_bars)
    app.add_directive("observables", Observables)
    app.add_directive("predictions", Predictions)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
