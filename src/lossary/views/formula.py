"""Formulas of the docstrings as text for a terminal: the LaTeX that losses are written in, as Unicode."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)

# fmt: off
_SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
    "varepsilon": "ε", "varphi": "φ", "ell": "ℓ", "infty": "∞", "partial": "∂", "nabla": "∇", "top": "ᵀ",
    "prime": "′", "sum": "Σ", "prod": "∏", "int": "∫", "cdot": "·", "times": "×", "pm": "±", "odot": "⊙", "ominus": "⊖",
    "ldots": "…", "dots": "…", "cdots": "⋯", "setminus": "∖", "cup": "∪", "cap": "∩", "emptyset": "∅", "lfloor": "⌊",
    "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "langle": "⟨", "rangle": "⟩", "lvert": "|", "rvert": "|", "vert": "|",
    "lVert": "‖", "rVert": "‖", "Vert": "‖", "star": "⋆",
    ",": " ", ";": " ", ":": " ", " ": " ", "quad": "  ", "qquad": "  ", "!": "",
    "{": "{", "}": "}", "|": "‖", "%": "%", "_": "_", "&": "&", "#": "#",
}
# written with a space on both sides, as relations are
_RELATIONS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "ll": "≪", "gg": "≫", "approx": "≈",
    "equiv": "≡", "propto": "∝", "to": "→", "rightarrow": "→", "mapsto": "↦", "mid": "|", "parallel": "‖", "sim": "∼",
    "forall": "∀", "exists": "∃", "notin": "∉", "in": "∈",
}
_FUNCTIONS = {
    "arccos", "arctan", "arg", "cos", "cosh", "det", "exp", "inf", "ln", "log", "max", "min", "sin", "sinh", "sup",
    "tan", "tanh",
}
_STYLES = {
    "mathbb", "mathbf", "mathcal", "mathit", "mathrm", "mathsf", "operatorname", "text", "textstyle",
}
_SIZES = {
    "Big", "Bigg", "Bigl", "Bigr", "big", "bigg", "bigl", "bigr", "displaystyle", "left", "limits", "right",
}
# fmt: on
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303", "vec": "\u20d7", "dot": "\u0307"}

_SUBSCRIPTS = dict(zip("0123456789+-=()aehijklmnoprstuvxβγρφχ,", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ,", strict=True))
_SUPERSCRIPTS = dict(
    zip(
        "0123456789+-=()abcdefghijklmnoprstuvwxyzβγδθφχ′ᵀ⋆*",
        "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵝᵞᵟᶿᵠᵡ′ᵀ⋆*",
        strict=True,
    )
)

_BAR = "\0"
"""Ends a fraction while reading: what follows it is a factor, not part of the denominator."""


def to_text(latex: str) -> str:
    r"""A formula as one line of Unicode text. A command that it does not know stays as it is, backslash included.

    >>> to_text(r"\ell(p_t) = -\alpha_t\,(1-p_t)^\gamma \ln p_t")
    'ℓ(pₜ) = -αₜ (1-pₜ)ᵞ ln pₜ'
    >>> to_text(r"\ell = 1 - \frac{2\,TP + s}{2\,TP + FP + FN + s}")
    'ℓ = 1 - (2 TP + s)/(2 TP + FP + FN + s)'
    """
    text = _sequence(iter(_TOKEN.findall(latex)), end=None)
    text = re.sub(r" *\n *", "\n", re.sub(r"[ \t]+", " ", text))
    text = re.sub(rf"{_BAR} *(?=[\w(\[|‖√])", "·", text).replace(_BAR, "")
    return re.sub(r"(?<=[(⌊⟨±]) | (?=[),;⌋⟩])", "", text).strip()


def _sequence(tokens: Iterator[str], end: str | None) -> str:
    """The text of everything up to the closing token."""
    text = ""
    for token in tokens:
        if token == end:
            return text
        if token in "^_":
            text = text.rstrip() + _script(_argument(tokens), raised=token == "^")
        elif token == "\\begin":
            text += _environment(tokens)
        else:
            text += _piece(token, tokens)
    return text


def _piece(token: str, tokens: Iterator[str]) -> str:
    """The text of one token and of the arguments that it takes."""
    if token == "{":
        return _sequence(tokens, "}")
    if token.isspace():
        return " "
    if not token.startswith("\\"):
        return token
    name = token[1:]
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    if name in _RELATIONS:
        return f" {_RELATIONS[name]} "
    if name in _FUNCTIONS:
        return _function(name, tokens)
    if name == "frac":
        return _fraction(tokens) + _BAR
    if name == "sqrt":
        return f"√{_factor(_argument(tokens))}"
    if name in _STYLES:
        return _argument(tokens)
    if name in _ACCENTS:
        return _argument(tokens) + _ACCENTS[name]
    return "" if name in _SIZES else token


def _fraction(tokens: Iterator[str]) -> str:
    return f"{_factor(_argument(tokens))}/{_factor(_argument(tokens))}"


def _function(name: str, tokens: Iterator[str]) -> str:
    """A function's name, apart from what it is applied to unless that stands in parentheses or is an index."""
    following = _next(tokens)
    if following in ("^", "_"):
        return f" {name}{_script(_argument(tokens), raised=following == '^')} "
    if following == "\\frac":
        return f" {name}({_fraction(tokens)})"
    if following in ("(", "\\{", "["):
        return f" {name}{_piece(following, tokens)}"
    return f" {name} " + (_piece(following, tokens) if following else "")


def _argument(tokens: Iterator[str]) -> str:
    """The text of the next token, or of the next group in braces."""
    token = _next(tokens)
    return _piece(token, tokens).strip(f" {_BAR}") if token else ""


def _next(tokens: Iterator[str]) -> str:
    """The next token that is not a space, or nothing."""
    return next((token for token in tokens if not token.isspace()), "")


def _script(text: str, raised: bool) -> str:
    """An index or exponent in Unicode's small letters where it has all of them, else behind _ or ^."""
    letters = _SUPERSCRIPTS if raised else _SUBSCRIPTS
    compact = text.replace(" ", "")
    if all(letter in letters for letter in compact):
        return "".join(letters[letter] for letter in compact)
    return ("^" if raised else "_") + (text if text.isalnum() else f"({text})")


def _factor(text: str) -> str:
    """What stands on one side of a fraction bar or under a root, in parentheses where it has parts."""
    text = text.strip()
    inner = text[1:-1]
    atom = not re.search(r"[\s+\-/·×]", text)
    enclosed = re.fullmatch(r"\(.*\)|\|.*\||‖.*‖", text) is not None and not set(inner) & {text[0], text[-1]}
    return text if atom or enclosed else f"({text})"


def _environment(tokens: Iterator[str]) -> str:
    r"""Rows of `cases` as "value if condition; …"; rows of other environments one a line."""
    name = _argument(tokens)
    rows: list[list[str]] = [[""]]
    for token in tokens:
        if token == "\\end":
            _argument(tokens)
            break
        if token == "&":
            rows[-1].append("")
        elif token == "\\\\":
            rows.append([""])
        elif token in "^_":
            rows[-1][-1] = rows[-1][-1].rstrip() + _script(_argument(tokens), raised=token == "^")
        else:
            rows[-1][-1] += _piece(token, tokens)
    cells = [[cell.strip(f" {_BAR}") for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if name != "cases":
        return "\n".join(" ".join(row) for row in cells)
    return "{ " + "; ".join(_case(row) for row in cells)


def _case(row: list[str]) -> str:
    condition = " ".join(row[1:])
    joined = condition if re.match(r"(if|for|otherwise|else)\b", condition) else f"if {condition}"
    return f"{row[0].rstrip(',')} {joined}" if condition else row[0]
