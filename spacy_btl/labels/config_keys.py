"""Labels as keys of a configuration, such as those of ``thresholds``.

In a config.cfg, some characters end a key or begin a comment, a section or a reference, so that a
label such as ``PHI:NAME`` would be lost, or make the file unreadable. They are written as in a URL:
``PHI%3ANAME``. Labels without such characters are keys as they are.
"""

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes

Value = TypeVar("Value")

_UNSAFE = re.compile(r"""[:=#;\[\]%$@*"'\\\x00-\x1f\x7f-\xa0]|[^\S ]|^ | $""")
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def to_config_key(label: str) -> str:
    """Return the key of a label in a configuration."""
    return _UNSAFE.sub(lambda match: quote(match[0], safe=""), label)


def from_config_key(key: str) -> str:
    """Return the label for a key; what is not a complete escape stays as it is."""
    return _ESCAPED.sub(lambda match: _unescaped(match[0]), key)


def to_config_keys(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return a table by label with keys that a configuration can hold, escaped ones included."""
    return {to_config_key(from_config_key(key)): value for key, value in values.items()}


def from_config_keys(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return a table of a configuration by label.

    Raises:
        ValueError: If two keys mean the same label.
    """
    labels = {from_config_key(key): value for key, value in values.items()}
    if len(labels) < len(values):
        keys = [key for key in values if from_config_key(key) != key]
        raise ValueError(f"a label appears twice, as {' or '.join(map(repr, keys))}")
    return labels


def _unescaped(escape: str) -> str:
    try:
        return unquote_to_bytes(escape).decode("utf8")
    except UnicodeDecodeError:
        return escape
