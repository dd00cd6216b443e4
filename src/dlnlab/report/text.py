"""Words and numbers as safe HTML: paragraphs, code, sub- and superscripts."""

import re

from markupsafe import Markup, escape

from dlnlab.typing import Any

_SCRIPT = r"\{[^{}]*\}|\d+|[A-Z]{2,}|max|min|[\w*±+−]"
_BASE = r"(?:(?<=\bmax)|(?<=\bmin)|(?<![A-Za-z0-9_][A-Za-z0-9])(?<=[^\s_^]))"
_SUB = re.compile(rf"{_BASE}_({_SCRIPT})")
_SUPER = re.compile(rf"(?<=[^\s_^])\^({_SCRIPT})")


def math(text: Any) -> Markup:
    """Escaped text in which σ_{h,i} and w^{L−1} have become sub- and superscripts.

    As in TeX one character stands for itself and more of them in braces; numbers, capitals and
    min or max need none. Names such as learning_rate stay as they are.

    >>> str(math("λ_1^min < 2/η at learning_rate"))
    'λ<sub>1</sub><sup>min</sup> &lt; 2/η at learning_rate'
    """
    written = str(escape(text))
    written = _SUB.sub(lambda found: f"<sub>{_bare(found)}</sub>", written)
    written = _SUPER.sub(lambda found: f"<sup>{_bare(found)}</sup>", written)
    return Markup(written)


def _bare(found: re.Match[str]) -> str:
    return found[1].strip("{}")


def prose(text: str) -> Markup:
    """Paragraphs, parted by blank lines, with `code` between backticks and mathematics outside.

    >>> str(prose("Below `2/S` it is flow, beyond, σ_1 falls."))
    '<p>Below <code>2/S</code> it is flow, beyond, σ<sub>1</sub> falls.</p>'
    """
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    return Markup("\n").join(Markup("<p>{}</p>").format(inline(p)) for p in paragraphs if p)


def inline(text: str) -> Markup:
    """One paragraph's words: `code` between backticks, mathematics outside."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is only a backtick
        return math(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if k % 2 else math(part)
        for k, part in enumerate(parts)
    )


def number(value: float | None) -> str:
    """A number for people: five significant digits, powers of ten written out.

    >>> [number(v) for v in (0.9004321, 3, 1.25e-11, 1e-6, None)]
    ['0.90043', '3', '1.25×10⁻¹¹', '10⁻⁶', '–']
    """
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.5g}".replace("-", "−")
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".").replace("-", "−")
    power = "10" + str(int(exponent)).translate(_RAISED)
    return {"1": power, "−1": f"−{power}"}.get(mantissa, f"{mantissa}×{power}")


def rough(value: float | None) -> str:
    """An error for people: two significant digits.

    >>> [rough(v) for v in (0.0756368, 0, 2.714e-9)]
    ['0.076', '0', '2.7×10⁻⁹']
    """
    return number(None if value is None else float(f"{value:.2g}"))


def powers(text: str) -> str:
    """A sentence whose numbers have their powers of ten written out.

    >>> powers("at most 1e-06")
    'at most 10⁻⁶'
    """
    return re.sub(r"-?\d+(\.\d+)?e[-+]\d+", lambda found: number(float(found[0])), text)


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def words(name: str) -> str:
    """A name in code as words: `mode_values` is mode values."""
    return name.replace("_", " ")
