"""Standard Webhooks 1.0: signing for the sender, verifying for a receiver; the library does both."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from pipeline.errors import ConfigError, StillwatchError


class SignatureError(StillwatchError):
    """A message that is not signed with the secret, or whose time is more than five minutes off."""

    exit_code = 65


def check_secret(secret: SecretStr) -> None:
    """Refuse what is no ``whsec_`` secret of 24 to 64 bytes.

    Raises:
        ConfigError: naming what is wrong, never the secret.
    """
    text = secret.get_secret_value()
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not text.startswith("whsec_") or not 24 <= size <= 64:
        raise ConfigError(
            "webhook.secret: not whsec_ followed by the base64 of 24 to 64 bytes",
            next_step="set STILLWATCH_WEBHOOK__SECRET to whsec_ and what `openssl rand -base64 32` prints",
        )


def new_secret() -> str:
    """A fresh secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(secret: SecretStr, message_id: str, body: str, now: datetime) -> dict[str, str]:
    """The headers of one try: the id stays the same over all tries, time and signature are of this one.

    Args:
        secret: the endpoint's.
        message_id: ``msg_…``.
        body: exactly what is sent.
        now: aware and UTC; the library would relabel any other zone instead of converting it.
    """
    if now.utcoffset() is None or now.utcoffset():
        raise ValueError("the time of signing must be aware and UTC")
    signature = Webhook(secret.get_secret_value()).sign(message_id, now, body)
    return {
        "content-type": "application/json",
        "user-agent": "stillwatch",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }


def verify(secret: SecretStr, headers: Mapping[str, str], body: bytes) -> Any:
    """What a receiver does: check signature and time, then parse.

    Raises:
        SignatureError: it was not signed with the secret, was changed, or is too old or from the future.
    """
    try:
        return Webhook(secret.get_secret_value()).verify(body, {name.lower(): text for name, text in headers.items()})
    except (WebhookVerificationError, ValueError) as error:
        raise SignatureError(
            f"the webhook is not genuine: {error}", next_step="check the secret and both clocks"
        ) from None
