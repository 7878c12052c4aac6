"""What a Sigma value asks of a field: said in SQL, looked at in Python, and with values that satisfy it.

Values come from a file that somebody else wrote. They reach SQL through ``quote`` only, so they stay data whatever
they hold.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network
from typing import Final, Literal, Protocol

from pipeline.rules.sigma.refusal import NotExpressibleError

Value = str | int | float | bool | None
Op = Literal["=", "<", "<=", ">", ">="]

MAX_TEXT: Final = 1024
_OPERATORS: Final[dict[Op, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_KEPT_BITS: Final = 24  # of an IPv4 address


class Wild(Enum):
    """What stands for any text in a pattern."""

    MANY = "%"
    ONE = "_"


class Test(Protocol):
    """One value of a Sigma rule, with its modifiers."""

    def holds(self, value: Value) -> bool:
        """Whether a field of this value satisfies it; None: the field is missing."""
        ...

    def sql(self, column: str) -> str:
        """The same of a column that is text and not null."""
        ...

    def examples(self, number: int) -> Iterator[Value]:
        """Values that may satisfy it, others for another number; whoever takes one looks with ``holds``."""
        ...


def quote(text: str, *, most: int = MAX_TEXT) -> str:
    """Text as an SQL literal.

    Raises:
        NotExpressibleError: it is longer than any field, or has characters that no field and no file of SQL may have.
    """
    if len(text) > most:
        raise NotExpressibleError(f"a value of {len(text)} characters", f"at most {most}")
    odd = next((one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}), None)
    if odd is not None:
        raise NotExpressibleError(f"a value with the invisible character U+{ord(odd):04X}", "leave it out")
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Text:
    """Equal to a pattern, upper and lower case alike unless ``cased``."""

    parts: tuple[str | Wild, ...]
    cased: bool = False

    @property
    def plain(self) -> str | None:
        """The text, where nothing stands for another."""
        return "".join(part for part in self.parts if isinstance(part, str)) if self._is_plain else None

    @property
    def _is_plain(self) -> bool:
        return all(isinstance(part, str) for part in self.parts)

    @property
    def any_text(self) -> bool:
        """Every text satisfies it."""
        return bool(self.parts) and all(part is Wild.MANY for part in self.parts)

    def holds(self, value: Value) -> bool:
        """Whether a field of this value satisfies it."""
        if value is None:
            return False
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        expression = "".join(
            re.escape(part) if isinstance(part, str) else ".*" if part is Wild.MANY else "." for part in self.parts
        )
        return re.fullmatch(expression, shown, re.DOTALL | (0 if self.cased else re.IGNORECASE)) is not None

    def sql(self, column: str) -> str:
        """The same of a column."""
        if self._is_plain and self.cased:
            return f"{column} = {quote(self.plain or '')}"
        pattern = "".join(
            re.sub(r"([\\%_])", r"\\\1", part) if isinstance(part, str) else part.value for part in self.parts
        )
        like = "like" if self.cased else "ilike"
        return f"{column} {like} {quote(pattern)} escape '\\'"

    def examples(self, number: int) -> Iterator[Value]:
        """Values that may satisfy it."""
        for many in (f"{number}", f"a{number}", ""):
            one = chr(ord("a") + number % 26)
            yield "".join(part if isinstance(part, str) else many if part is Wild.MANY else one for part in self.parts)


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression found anywhere in it, as RE2 reads it: linear in the text, whatever it is."""

    pattern: str
    search: Callable[[str], object]  # compiled by the same engine

    def holds(self, value: Value) -> bool:
        """Whether a field of this value satisfies it."""
        return value is not None and bool(self.search(str(value)))

    def sql(self, column: str) -> str:
        """The same of a column."""
        return f"regexp_matches({column}, {quote(self.pattern)})"

    def examples(self, number: int) -> Iterator[Value]:
        """Values that may satisfy it."""
        bare = re.sub(r"^\(\?[ims]+\)", "", self.pattern)
        yield _sampled(bare, number)
        for alternative in re.split(r"(?<!\\)\|", bare):
            yield _sampled(alternative, number)


@dataclass(frozen=True, slots=True)
class Number:
    """Compared with a number."""

    op: Op
    number: float

    def holds(self, value: Value) -> bool:
        """Whether a field of this value satisfies it."""
        if value is None:
            return False
        try:
            return _OPERATORS[self.op](float(value), self.number)
        except ValueError:
            return False

    def sql(self, column: str) -> str:
        """The same of a column."""
        return f"coalesce(try_cast({column} as double) {self.op} {self.number!r}, false)"

    def examples(self, number: int) -> Iterator[Value]:
        """Values that may satisfy it."""
        whole = int(self.number)
        yield from (whole, whole + 1 + number, whole - 1 - number)


@dataclass(frozen=True, slots=True)
class Truth:
    """True or false."""

    wanted: bool

    def holds(self, value: Value) -> bool:
        """Whether a field of this value satisfies it."""
        return value is self.wanted or (isinstance(value, str) and value.lower() == str(self.wanted).lower())

    def sql(self, column: str) -> str:
        """The same of a column."""
        return f"{column} ilike {quote(str(self.wanted).lower())}"

    def examples(self, number: int) -> Iterator[Value]:
        """Values that may satisfy it."""
        _ = number
        yield self.wanted


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there, or it is not."""

    wanted: bool

    def holds(self, value: Value) -> bool:
        """Whether a field of this value satisfies it."""
        return (value is not None) == self.wanted

    def sql(self, column: str) -> str:
        """The same of a column."""
        return f"({column} is {'not ' if self.wanted else ''}null)"

    def examples(self, number: int) -> Iterator[Value]:
        """Values that may satisfy it."""
        yield from (f"value-{number}", None) if self.wanted else (None,)


@dataclass(frozen=True, slots=True)
class Cidr:
    """An IPv4 address within a network of at most 24 bits, as the /24 that is stored of it shows."""

    network: IPv4Network

    def holds(self, value: Value) -> bool:
        """Whether a field of this value satisfies it."""
        try:
            return value is not None and IPv4Network(str(value)).subnet_of(self.network)
        except ValueError:
            return False

    def sql(self, column: str) -> str:
        """The same of a column."""
        kept = self.network.prefixlen // 8 * 8
        heads = sorted({str(part.network_address).split(".")[: kept // 8 + 1][-1] for part in self._parts()}, key=int)
        start = "".join(f"{octet}." for octet in str(self.network.network_address).split(".")[: kept // 8])
        if self.network.prefixlen % 8 == 0:
            return (
                f"{column} like {quote(start + '%.0/24')}"
                if kept < _KEPT_BITS
                else f"{column} = {quote(start + '0/24')}"
            )
        place = kept // 8 + 1
        low, high = heads[0], heads[-1]
        return (
            f"({column} like {quote(start + '%.0/24')} and "
            f"try_cast(split_part({column}, '.', {place}) as integer) between {low} and {high})"
        )

    def _parts(self) -> Iterator[IPv4Network]:
        up = -(-self.network.prefixlen // 8) * 8 or 8
        yield from self.network.subnets(new_prefix=min(up, _KEPT_BITS))

    def examples(self, number: int) -> Iterator[Value]:
        """Values that may satisfy it."""
        count = 1 << (_KEPT_BITS - self.network.prefixlen)
        base = int(self.network.network_address) + (number % count) * 256
        yield str(IPv4Network((base, _KEPT_BITS)))


def cidr(network: object) -> Cidr:
    """A CIDR of a rule.

    Raises:
        NotExpressibleError: IPv6, or narrower than what is stored.
    """
    if not isinstance(network, IPv4Network):
        raise NotExpressibleError(f"cidr {network} of IPv6", "compare network with the /48 as text")
    if network.prefixlen > _KEPT_BITS:
        raise NotExpressibleError(f"cidr {network}: of an address its /24 is stored", "ask for the /24")
    return Cidr(network)


_ESCAPED: Final = {"d": "7", "w": "w", "s": " ", "b": "", "B": "", "A": "", "z": "", "Z": ""}
_INNER: Final = re.compile(r"(?<!\\)\((?:\?:|\?P<\w+>)?([^()|]*)(?:\|[^()]*)?\)")
_PIECE: Final = re.compile(r"\\(?P<escaped>.)|\[(?P<set>\^?\]?(?:\\.|[^\]\\])*)\]|(?P<char>.)", re.DOTALL)
_REPEAT: Final = re.compile(r"[*+?]|\{(?P<least>\d+)(?:,\d*)?\}")


def _sampled(pattern: str, number: int) -> str:
    """A text that a simple expression may match: of a group the first alternative is taken, of a set the first."""
    while (inner := _INNER.search(pattern)) is not None:
        pattern = pattern[: inner.start()] + inner[1] + pattern[inner.end() :]
    found, at = [], 0
    while (piece := _PIECE.match(pattern, at)) is not None:
        at = piece.end()
        text = _piece(piece, number)
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            at = repeat.end()
            at += pattern.startswith("?", at)
            text *= min(64, int(repeat["least"])) if repeat["least"] else 1
        found.append(text)
    return "".join(found)


def _piece(piece: re.Match[str], number: int) -> str:
    if piece["escaped"]:
        return _ESCAPED.get(piece["escaped"], piece["escaped"])
    if piece["set"] is not None:
        if piece["set"].startswith("^"):
            return "q"
        return _ESCAPED.get(piece["set"][1], piece["set"][1]) if piece["set"].startswith("\\") else piece["set"][:1]
    return {"^": "", "$": "", ".": str(number % 10)}.get(piece["char"], piece["char"])
