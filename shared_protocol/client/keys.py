"""The client's CURVE key pair, from the file that ``humanref keys`` wrote."""

from __future__ import annotations

from pathlib import Path

import zmq
import zmq.auth
from attrs import field, frozen

from ..errors import NOT_ALLOWED, ProtocolError


@frozen(kw_only=True)
class KeyPair:
    """Z85, 40 characters each; the secret one is not printed."""

    public: bytes
    secret: bytes = field(repr=False)


def read_key_pair(path: Path) -> KeyPair:
    """Read a certificate file with both keys (``*.key_secret``).

    Raises:
        ProtocolError: ``not_allowed`` where the file cannot be read or holds no secret key.
    """
    hint = "Make a key pair with: humanref keys client NAME"
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ProtocolError(
            NOT_ALLOWED, f"The key file {path} cannot be read ({reason}).", hint
        ) from error
    if secret is None:
        raise ProtocolError(
            NOT_ALLOWED, f"{path} holds a public key only.", "Give the file that ends with _secret."
        )
    try:
        if zmq.curve_public(secret) != public:
            raise ProtocolError(
                NOT_ALLOWED, f"The two keys in {path} do not belong together.", hint
            )
    except (ValueError, zmq.ZMQError) as error:
        raise ProtocolError(NOT_ALLOWED, f"{path} holds no usable keys.", hint) from error
    return KeyPair(public=public, secret=secret)
