"""What somebody asks of messages that were given up: to be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Resend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messages for one endpoint that failed, or that it refused for good (410 Gone). Without ids: all of them."""

    endpoint: Id
    message_ids: Annotated[Sequence[Id], msgspec.Meta(max_length=10_000)] = ()
