"""Serve a pipeline over HTTP: entities of texts as JSON, and for Label Studio and INCEpTION.

`serve` needs the extra ``serve``; the settings do not.
"""

from .server import serve
from .settings import ServeSettings, read_token

__all__ = ["ServeSettings", "read_token", "serve"]
