"""Who stands between us and a source with a certificate of their own gets nothing, no key least."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from ingest.coincap.wire import listen
from ingest.coingecko.client import Client
from ingest.errors import Unreachable
from ingest.settings import IngestSettings
from ingest.source import Source

KEY = SecretStr("canary-key-33d0")


@pytest.fixture
def impostor(tmp_path: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for localhost that nobody has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    options = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost")
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    files = ("-keyout", key, "-out", certificate)
    subprocess.run([openssl, "req", *options, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def listening(tls: ssl.SSLContext, asked: list[str]) -> AsyncIterator[int]:
    """An HTTPS server on loopback that notes what it is asked; gives its port."""

    async def answer(http: web.Request) -> web.Response:
        asked.append(f"{http.path_qs} {dict(http.headers)}")
        return web.Response(text="[]")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def test_a_certificate_that_nobody_signed_is_refused(
    impostor: ssl.SSLContext, tmp_path: Path
) -> None:
    """Neither the call nor the stream goes on to where the key would be said."""
    asked: list[str] = []
    settings = IngestSettings(state_dir=tmp_path, attempts=1)

    async def scene() -> None:
        async with listening(impostor, asked) as port:
            client = Client(settings, Source("v", f"https://127.0.0.1:{port}", KEY))
            with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await client.markets(("bitcoin",), "usd")
            await client.close()
            source = Source("v", f"wss://127.0.0.1:{port}", KEY)
            with pytest.raises(Unreachable, match="SSLCertVerificationError"):
                await listen(source, ("bitcoin",), 5, lambda *_: None)

    asyncio.run(scene())
    assert asked == []
