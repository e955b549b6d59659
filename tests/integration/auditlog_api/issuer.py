"""A local issuer of tokens: an HTTP server that gives out its public keys, and a hand that signs."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example.org", "auditlog"
# Making a key takes a moment: one for all tests.
RSA = rsa.generate_private_key(65_537, 2_048)
OTHER_RSA = rsa.generate_private_key(65_537, 2_048)
EC = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Serves the keys in `keys`: name -> private key; counts how often it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"one": RSA}
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(issuer.status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(issuer.body if issuer.body is not None else issuer.document())

            def log_message(self, *_args: Any) -> None:
                """Nothing: the test's output is for the tests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def document(self) -> bytes:
        """Return the JWKS."""
        return json.dumps({"keys": [jwk(name, key) for name, key in self.keys.items()]}).encode()

    def token(
        self, *, kid: Any = "one", key: Any = None, algorithm: str = "RS256", header: Any = None, **claims: Any
    ) -> str:
        """Return a signed token; a claim that is None is left out."""
        now = int(time.time())
        values = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u-17",
            "iat": now,
            "exp": now + 60,
            "preferred_username": "m.okonkwo",
            "scope": "openid audit.read audit.read.sensitive",
            **claims,
        }
        payload = {name: value for name, value in values.items() if value is not None}
        headers = {name: value for name, value in {"kid": kid, **(header or {})}.items() if value is not None}
        return jwt.encode(payload, key or self.keys.get(str(kid), RSA), algorithm=algorithm, headers=headers)


def jwk(name: str, key: Any) -> dict[str, Any]:
    """Return the public half of a key as the issuer gives it out."""
    algorithm: Any = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": name, "use": "sig"}
