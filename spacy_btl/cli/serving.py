"""The command that serves a pipeline over HTTP."""

from pathlib import Path
from typing import Annotated

import typer

from .app import GpuOption, app, errors_as_text


@app.command("serve", short_help="Serve a pipeline over HTTP.")
@errors_as_text()
def serve_command(
    model: Annotated[str, typer.Argument(help="Pipeline: a folder or an installed package")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but a loopback address needs a token")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, 0 for any free one")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token that clients must send; or set SPACY_BTL_TOKEN to the token"
        ),
    ] = None,
    spans: Annotated[
        str | None, typer.Option(help="Key of doc.spans to serve instead of doc.ents")
    ] = None,
    max_characters: Annotated[int, typer.Option(help="Most characters of a text")] = 100_000,
    max_texts: Annotated[int, typer.Option(help="Most texts of a request")] = 100,
    max_body: Annotated[int, typer.Option(help="Most bytes of a request")] = 2**23,
    max_waiting: Annotated[
        int, typer.Option(help="Most requests at a time; further ones get status 503")
    ] = 64,
    timeout: Annotated[
        float, typer.Option(help="Most seconds for a request, which then gets status 504")
    ] = 60.0,
    certificate: Annotated[Path | None, typer.Option(help="Certificate for HTTPS (PEM)")] = None,
    key: Annotated[Path | None, typer.Option(help="Private key of the certificate (PEM)")] = None,
    log_requests: Annotated[
        bool,
        typer.Option("--log-requests", help="Log route, status and milliseconds of each request"),
    ] = False,
    gpu_id: GpuOption = -1,
) -> None:
    """Serve a pipeline over HTTP until SIGTERM or Ctrl+C; /docs shows the interface.

    Requests under way are answered before it ends. No text gets into a log or an error.
    """
    from ..serving.server import serve
    from ..serving.settings import ServeSettings, read_token

    settings = ServeSettings(
        host=host,
        port=port,
        token=read_token(token_file),
        spans=spans,
        max_characters=max_characters,
        max_texts=max_texts,
        max_body=max_body,
        max_waiting=max_waiting,
        timeout=timeout,
        gpu_id=gpu_id,
        certificate=certificate,
        key=key,
        log_requests=log_requests,
    )
    serve(model, settings)
