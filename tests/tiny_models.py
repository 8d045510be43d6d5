"""Tiny random models, made on the spot: the real code path without a download."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "red", "blue", "green", "fast", "slow", "car", "boat", "train", "one", "two", "three", "four",
    "north", "south", "east", "west", "cold", "warm", "river", "road", "city", "field", "day",
    "night", "the", "of", "and", "query", "document",
]  # fmt: skip


def _tokenizer() -> tuple[PreTrainedTokenizerFast, dict[str, int]]:
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.normalizer, words.pre_tokenizer = Lowercase(), Whitespace()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=64,
    )  # fmt: skip
    return tokenizer, vocabulary


def tiny_tokenizer() -> Tokenizer:
    """The tokenizer of all models here, as the library tokenizers has it."""
    return _tokenizer()[0].backend_tokenizer


def save_bi_encoder(
    folder: Path,
    *,
    seed: int = 0,
    prompts: dict[str, str] | None = None,
    similarity: str = "cosine",
) -> Path:
    """Write a bi-encoder with random weights: one BERT layer, mean pooling, 16 dimensions."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    tokenizer, vocabulary = _tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1,
                num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
                initializer_range=0.5,
            )
        )  # fmt: skip
    model.save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    words = Transformer(str(folder / "bert"))
    whole = SentenceTransformer(
        modules=[words, Pooling(16)], prompts=prompts, similarity_fn_name=similarity, device="cpu"
    )
    whole.save(str(folder / "model"))
    return folder / "model"


def save_multi_vector(
    folder: Path,
    *,
    seed: int = 0,
    prompts: dict[str, str] | None = None,
    similarity: str | None = None,
    skipped: list[str] | None = None,
    expanded: int | None = None,
    document_length: int | None = None,
) -> Path:
    """Write a late-interaction model with random weights: one BERT layer, 8 dimensions a token.

    Args:
        folder: made if it is not there; the model is in ``model``.
        seed: of the weights.
        prompts: of the roles.
        similarity: ``maxsim`` or ``meanmaxsim``.
        skipped: words of documents that do not count.
        expanded: tokens that every query is expanded to, if it is.
        document_length: tokens of a document that are read.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    tokenizer, vocabulary = _tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1,
                num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
                initializer_range=0.5,
            )
        )  # fmt: skip
        smaller = Dense(
            16, 8, bias=False, activation_function=torch.nn.Identity(),
            module_input_name="token_embeddings",
        )  # fmt: skip
    model.save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    expansion = None if expanded is None else {"strategy": "fixed", "length": expanded}
    words = Transformer(
        str(folder / "bert"),
        query_expansion=expansion,  # type: ignore[arg-type]
        document_length=document_length,
    )
    normal = Normalize(module_input_name="token_embeddings")
    whole = MultiVectorEncoder(
        modules=[words, smaller, MultiVectorMask(skiplist_words=skipped), normal],
        prompts=prompts, similarity_fn_name=similarity, device="cpu",
    )  # fmt: skip
    whole.save(str(folder / "model"))
    return folder / "model"


def save_cross_encoder(
    folder: Path, *, seed: int = 0, outputs: int = 1, activation: str | None = None
) -> Path:
    """Write a cross-encoder with random weights whose scores spread from near 0 to near 1."""
    tokenizer, vocabulary = _tokenizer()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = BertForSequenceClassification(
            BertConfig(
                vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1,
                num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
                num_labels=outputs, initializer_range=0.5,
            )
        )  # fmt: skip
        # Move the scores of random words to the middle of the scale, and spread them.
        cls, sep = torch.full((64, 1), 2), torch.full((64, 1), 3)
        texts = torch.randint(5, len(vocabulary), (64, 9))
        lines = torch.cat([cls, texts[:, :3], sep, texts[:, 3:], sep], dim=1)
        model.eval().classifier.weight.mul_(4)
        model.classifier.bias -= model(lines).logits.median(dim=0).values
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if activation is not None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        path.write_text(
            json.dumps({**config, "sentence_transformers": {"activation_fn": activation}})
        )
    return folder


def logits(folder: Path, pairs: list[tuple[str, str]]) -> list[float]:
    """Scores of the model without sentence-transformers, one pair at a time."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        return [
            float(model(**tokenizer(query, document, return_tensors="pt")).logits[0, 0])
            for query, document in pairs
        ]
