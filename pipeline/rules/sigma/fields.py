"""Which field of a Sigma rule is what of ours: the mapping, in one table that docs/sigma.md is generated from.

There is no table of single requests. Of an account's requests in a minute it is stored how many there were of each
kind (a *count*), and of an account's hour how many used which thing (a *thing*). So a field has one of a few roles,
and two fields of different counts or things cannot be asked for in one request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["who", "flag", "size", "kind", "thing", "sketch"]
Entity = Literal["account", "api_key"]

Values = tuple[int | bool | str | None, ...]


@dataclass(frozen=True, slots=True)
class FlagClass:
    """Requests that a pane counts together, and the values they may have. ``sql``: how many, of a row ``prints``."""

    sql: str
    values: Values
    open_ended: bool = False  # and every number above them


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Sigma rule.

    ``sql`` is what its value is compared with: a column of ``accounts`` (who), of ``links`` (thing), the number of a
    feature of a tally (size), the column of a sketch (sketch). ``target``: the kind of link (thing).
    """

    name: str
    role: Role
    meaning: str
    sql: str = ""
    target: str = ""
    classes: tuple[FlagClass, ...] = ()
    always: bool = False  # every request has it
    only_exists: bool = False  # that it was sent is stored, its value is not
    aliases: tuple[str, ...] = ()

    def of_entity(self, entity: Entity) -> bool:
        """Whether it is stored of accounts, or of API keys."""
        if entity == "account" or self.role in {"flag", "size", "kind", "sketch", "who"}:
            return True
        return self.target in {"network", "client"}


def _flag(name: str, meaning: str, *classes: FlagClass, aliases: tuple[str, ...] = ()) -> Field:
    return Field(name, "flag", meaning, classes=classes, aliases=aliases)


def _truth(name: str, meaning: str, column: str, *, aliases: tuple[str, ...] = ()) -> Field:
    yes = FlagClass(f"prints.{column}", (True,))
    return _flag(name, meaning, yes, FlagClass(f"(prints.events - prints.{column})", (False,)), aliases=aliases)


def _at_least(name: str, meaning: str, column: str, least: int, *, of_more: bool = True) -> Field:
    low, high = tuple(range(least)), tuple(range(least, 200))
    counted, rest = f"prints.{column}", f"(prints.events - prints.{column})"
    more = FlagClass(counted if of_more else rest, high, open_ended=True)
    classes = (more, FlagClass(rest if of_more else counted, low))
    return _flag(name, meaning, *classes)


_USER_AGENT: Final = "split_part(links.target_id, ' · ', 1)"

FIELDS: Final = (
    Field(
        "account_id",
        "who",
        "who is billed; a pseudonym where `privacy.pseudonymise` names it",
        sql="account_id",
        always=True,
    ),
    Field("account.plan", "who", "fact about the account", sql="plan"),
    Field("account.organisation", "who", "fact about the account", sql="organisation"),
    Field("account.email_domain", "who", "fact about the account", sql="email_domain"),
    Field("account.payment_hash", "who", "fact about the account", sql="payment_hash"),
    Field("account.country", "who", "fact about the account; the country of a request is not stored", sql="country"),
    Field("account.status", "who", "fact about the account", sql="status"),
    _flag(
        "status",
        "HTTP status: 429, 400 and above, and below 400 are told apart; not told counts as below 400",
        FlagClass("prints.rate_limited", (429,)),
        FlagClass("(prints.errors - prints.rate_limited)", tuple(n for n in range(400, 1000) if n != 429)),
        FlagClass("(prints.events - prints.errors)", (200, *range(200), *range(201, 400))),
        aliases=("http.response.status_code",),
    ),
    _truth("refused", "refused by policy; not told counts as false", "refused"),
    _truth("stream", "a stream was asked for; not told counts as false", "streamed"),
    _truth("logprobs", "log probabilities were asked for; not told counts as false", "logprobs"),
    Field(
        "seed",
        "flag",
        "a seed was given: `exists` only",
        classes=(FlagClass("prints.seeded", (7,)), FlagClass("(prints.events - prints.seeded)", (None,))),
        aliases=("gen_ai.request.seed",),
        only_exists=True,
    ),
    _at_least("n", "answers asked for: 1 and more than 1 are told apart", "sampled_n", 2),
    _at_least("tool_count", "tools offered: none and any are told apart", "tool_events", 1),
    _at_least("message_count", "messages: 2 at most, and more, are told apart", "single_turn", 3, of_more=False),
    Field("input_tokens", "size", "told apart at powers of two", sql="1", aliases=("gen_ai.usage.input_tokens",)),
    Field("output_tokens", "size", "told apart at powers of two", sql="2", aliases=("gen_ai.usage.output_tokens",)),
    Field("latency_ms", "size", "told apart at powers of two", sql="3"),
    Field("request_kind", "kind", "what the request is for, see [kinds of requests](request-kinds.md)"),
    Field(
        "model",
        "thing",
        "as requests name it",
        sql="links.target_id",
        target="model",
        always=True,
        aliases=("gen_ai.request.model",),
    ),
    Field(
        "user_agent",
        "thing",
        "the first part of `client`; cut where all of it is longer than 160 characters",
        sql=_USER_AGENT,
        target="client",
        aliases=("user_agent.original",),
    ),
    Field(
        "client", "thing", "`user_agent · ja4 · sdk` of those that were sent", sql="links.target_id", target="client"
    ),
    Field(
        "network",
        "thing",
        "the /24 or /48 of the address, or `AS…` without one",
        sql="links.target_id",
        target="network",
    ),
    Field(
        "ip",
        "sketch",
        "`cidr` down to /24, of IPv4; counting how many (`value_count`), to some 18 % from 32 on",
        sql="ip_sketch",
        aliases=("client.address", "source.ip", "src_ip"),
    ),
    Field("asn", "thing", "number of the autonomous system", sql="links.target_id", target="asn"),
    Field("api_key_id", "thing", "the API key", sql="links.target_id", target="api_key", aliases=("api_key",)),
    Field("user_id", "thing", "the end user, as a gateway names him", sql="links.target_id", target="end_user"),
    Field(
        "template",
        "thing",
        "hash of the prompt's skeleton, 16 hexadecimal digits",
        sql="links.target_id",
        target="template",
        aliases=("template_hash",),
    ),
    Field(
        "system_prompt",
        "thing",
        "hash of the system prompt, 16 hexadecimal digits",
        sql="links.target_id",
        target="system_prompt",
        aliases=("system_hash",),
    ),
    Field(
        "prompt",
        "sketch",
        "only counting how many (`value_count`), to some 18 % from 32 on",
        sql="prompt_sketch",
        aliases=("prompt_hash",),
    ),
)
BY_NAME: Final = {name: field for field in FIELDS for name in (field.name, *field.aliases)}

# What an event has and no row keeps by itself: refused with the reason, not as unknown.
NOT_KEPT: Final = {
    "messages": "text is turned into features and dropped",
    "system": "text is turned into features and dropped",
    "response": "text is turned into features and dropped",
    "country": "the country of a request is not stored; account.country is a fact about the account",
    "ja4": "it is stored as part of client: ask for client|contains",
    "sdk": "it is stored as part of client: ask for client|contains",
    **dict.fromkeys(
        (
            *("event_id", "timestamp", "conversation_id", "provider", "operation", "endpoint", "error_type"),
            *("finish_reason", "ttft_ms", "cached_tokens", "reasoning_tokens", "temperature", "top_p", "max_tokens"),
            *("reasoning_effort", "response_format", "tool_call_count", "language", "reasoning_blobs"),
        ),
        "it is not stored so that requests could be counted by it",
    ),
}
