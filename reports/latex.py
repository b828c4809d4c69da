"""LaTeX from data: what comes from data is escaped unless it says that it is LaTeX already."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import jinja2


class Tex(str):
    """A text that is LaTeX already."""


_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    # these print something else in LaTeX's oldest font encoding, or join with their neighbour
    "<": r"\ensuremath{<}", ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}", '"': r"{\ttfamily\char34}", "`": r"{\ttfamily\char18}",
    "\0": "{}",
    "–": "--", "—": "---", "‘": "`{}", "’": "'{}", "“": "``", "”": "''", "…": r"\ldots{}",
    "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}", "¹": r"\textsuperscript{1}", "°": r"\ensuremath{^\circ}",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
    "†": r"\ensuremath{\dagger}", "‡": r"\ensuremath{\ddagger}", "§": r"\ensuremath{\mathsection}",
    "µ": r"\ensuremath{\mu}",
}  # fmt: skip
_MATHEMATICS = {
    "−": "-", "±": r"\pm", "×": r"\times", "·": r"\cdot", "÷": r"\div", "∞": r"\infty", "≤": r"\le",
    "≥": r"\ge", "≠": r"\ne",
    "≈": r"\approx", "→": r"\to", "←": r"\leftarrow", "Δ": r"\Delta", "√": r"\surd", "Σ": r"\Sigma", "Ω": r"\Omega",
    "Π": r"\Pi", "Φ": r"\Phi", "Ψ": r"\Psi", "Γ": r"\Gamma", "Θ": r"\Theta", "Λ": r"\Lambda",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\epsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "ξ": r"\xi", "π": r"\pi", "ρ": r"\rho",
    "σ": r"\sigma", "τ": r"\tau", "φ": r"\phi", "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega",
}  # fmt: skip
_ACCENTS = {
    "\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\=",
    "\u0306": r"\u", "\u0307": r"\.",
    "\u0308": r'\"', "\u030a": r"\r", "\u030b": r"\H", "\u030c": r"\v", "\u0327": r"\c",
}  # fmt: skip


def escape(text: object) -> Tex:
    """Text that pdflatex prints as it is, with its default fonts and encoding, none of them a bitmap (Type 3).

    White space becomes a blank. A character that these fonts lack is printed by its code point, such as [U+4E2D].
    """
    if isinstance(text, Tex):
        return text
    plain = unicodedata.normalize("NFC", " ".join(str(text).split()))
    parted = re.sub(r"([-',])(?=\1)", "\\1\0", plain)  # else LaTeX joins --, '' and ,, to one sign
    return Tex("".join(map(_character, parted)))


def environment(folder: Path) -> jinja2.Environment:
    """Templates with << >> for values, which are escaped, and <% %> for statements."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        finalize=escape,
        block_start_string="<%", block_end_string="%>",
        variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    templates.filters |= {"reference": reference, "superscript": superscript}
    return templates


def reference(label: str) -> Tex:
    """A label for \\label and \\ref: letters, digits and a few signs; anything else becomes a hyphen."""
    return Tex(re.sub(r"[^A-Za-z0-9:.-]", "-", label))


def superscript(signs: Sequence[str]) -> Tex:
    """Marks of footnotes, raised."""
    marks = ",".join(escape(sign) for sign in signs if sign)
    return Tex(rf"\textsuperscript{{{marks}}}" if marks else "")


def _character(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign in _MATHEMATICS:
        return rf"\ensuremath{{{_MATHEMATICS[sign]}}}"
    if sign.isascii() and sign.isprintable():
        return sign
    letter, *accents = list(unicodedata.normalize("NFD", sign))
    if len(accents) == 1 and accents[0] in _ACCENTS and letter.isascii():
        dotless = {"i": r"\i", "j": r"\j"}.get(letter, letter)
        return rf"{_ACCENTS[accents[0]]}{{{dotless}}}"
    return f"[U+{ord(sign):04X}]"
