"""Encoders of many kinds, tiny and random, each with a tokenizer made here: nothing is loaded."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
import transformers as hf
from tokenizers import models, normalizers, pre_tokenizers, processors

from tests.helpers.sentences import WORDS

LETTERS = string.ascii_lowercase + string.digits + string.punctuation
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
Encoder = tuple[Any, Any]
"""A tokenizer and a transformer."""


def word_pieces(tokenizer: Any, folder: Path, special: list[str]) -> Any:
    """Return a tokenizer over words and letters; the special tokens have the first ids."""
    pieces = [*special, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)), encoding="utf8")
    return tokenizer(str(folder / "vocab.txt"), model_max_length=SIZES["max_position_embeddings"])


def unigrams(special: list[str], template: str) -> tokenizers.Tokenizer:
    """Return a tokenizer as SentencePiece makes them; the special tokens have the first ids."""
    scores = dict.fromkeys(special, 0.0)
    scores.update(dict.fromkeys(("▁", *("▁" + word for word in WORDS), *LETTERS), -1.0))
    tokenizer = tokenizers.Tokenizer(models.Unigram(list(scores.items()), special.index("<unk>")))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    ids = [(piece, i) for i, piece in enumerate(special) if piece in template]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    return tokenizer


def byte_pairs(special: list[str]) -> tokenizers.Tokenizer:
    """Return a byte-level tokenizer like RoBERTa's that knows words after a space only."""
    vocabulary = dict.fromkeys([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    merges = []
    for word in WORDS:
        for end in range(len(word)):
            left, right = "Ġ" + word[:end], word[end]
            if left + right not in vocabulary:
                merges.append((left, right))
                vocabulary[left + right] = None
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = tokenizers.Tokenizer(models.BPE(ids, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), add_prefix_space=False
    )
    return tokenizer


BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ALBERT_TOKENS = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
XLNET_TOKENS = ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"]


def make_bert(folder: Path) -> Encoder:
    tokenizer = word_pieces(hf.BertTokenizerFast, folder, BERT_TOKENS)
    return tokenizer, hf.BertModel(hf.BertConfig(vocab_size=len(tokenizer), **SIZES))


def make_electra(folder: Path) -> Encoder:
    tokenizer = word_pieces(hf.ElectraTokenizerFast, folder, BERT_TOKENS)
    config = hf.ElectraConfig(vocab_size=len(tokenizer), embedding_size=16, **SIZES)
    return tokenizer, hf.ElectraModel(config)


def make_distilbert(folder: Path) -> Encoder:
    tokenizer = word_pieces(hf.DistilBertTokenizerFast, folder, BERT_TOKENS)
    config = hf.DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=64,
    )
    return tokenizer, hf.DistilBertModel(config)


def make_mpnet(folder: Path) -> Encoder:
    tokenizer = word_pieces(
        hf.MPNetTokenizerFast, folder, ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    )
    return tokenizer, hf.MPNetModel(hf.MPNetConfig(vocab_size=len(tokenizer), **SIZES))


def make_roberta(folder: Path) -> Encoder:
    tokenizer = hf.RobertaTokenizerFast(tokenizer_object=byte_pairs(ROBERTA_TOKENS))
    config = hf.RobertaConfig(vocab_size=len(tokenizer), type_vocab_size=1, **SIZES)
    return tokenizer, hf.RobertaModel(config)


def make_plain_byte_level(folder: Path) -> Encoder:
    """Return a RoBERTa whose tokenizer has no class of its own, as for newer models."""
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(ROBERTA_TOKENS),
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
    )
    return tokenizer, make_roberta(folder)[1]


def make_albert(folder: Path) -> Encoder:
    template = "[CLS]:0 $A:0 [SEP]:0"
    tokenizer = hf.AlbertTokenizerFast(tokenizer_object=unigrams(ALBERT_TOKENS, template))
    config = hf.AlbertConfig(vocab_size=len(tokenizer), embedding_size=16, **SIZES)
    return tokenizer, hf.AlbertModel(config)


def make_xlnet(folder: Path) -> Encoder:
    template = "$A:0 <sep>:0 <cls>:2"
    tokenizer = hf.XLNetTokenizerFast(tokenizer_object=unigrams(XLNET_TOKENS, template))
    config = hf.XLNetConfig(vocab_size=len(tokenizer), d_model=32, n_layer=2, n_head=2, d_inner=64)
    return tokenizer, hf.XLNetModel(config)


def make_deberta(folder: Path) -> Encoder:
    """Return a model like DeBERTa-v3, with relative positions."""
    template = "[CLS] $A [SEP]"
    made = unigrams([*ALBERT_TOKENS[:4], "[MASK]"], template)
    tokenizer = hf.DebertaV2TokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>"
    )
    config = hf.DebertaV2Config(
        vocab_size=len(tokenizer),
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
        **SIZES,
    )
    return tokenizer, hf.DebertaV2Model(config)


def make_modernbert(folder: Path) -> Encoder:
    if not hasattr(hf, "ModernBertModel"):
        pytest.skip("ModernBERT needs transformers 4.48")
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(ROBERTA_TOKENS),
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )
    config = hf.ModernBertConfig(
        vocab_size=len(tokenizer),
        pad_token_id=1,
        cls_token_id=0,
        sep_token_id=2,
        bos_token_id=0,
        eos_token_id=2,
        global_attn_every_n_layers=2,
        local_attention=16,
        reference_compile=False,
        **SIZES,
    )
    return tokenizer, hf.ModernBertModel(config)


ENCODERS: dict[str, Callable[[Path], Encoder]] = {
    "bert": make_bert,
    "electra": make_electra,
    "distilbert": make_distilbert,
    "mpnet": make_mpnet,
    "roberta": make_roberta,
    "plain_byte_level": make_plain_byte_level,
    "albert": make_albert,
    "xlnet": make_xlnet,
    "deberta": make_deberta,
    "modernbert": make_modernbert,
}


def save_encoder(name: str, root: Path) -> Path:
    folder = root / name
    folder.mkdir()
    torch.manual_seed(0)
    for part in ENCODERS[name](folder):
        part.save_pretrained(folder)
    return folder
