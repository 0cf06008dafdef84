"""Text encoders: a question's tokens become word features (B, L, D) and one question vector (B, D)."""

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from vqa.model.configuration import FilmSEConfig


class GRUEncoder(nn.Module):
    """Word embeddings and a gated recurrent unit (Cho et al. 2014), in one or both directions.

    The backward direction reads each question reversed in place, so padding never enters a state and the features of a
    question do not depend on its neighbours in the batch.
    """

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        directions = 2 if config.bidirectional else 1
        hidden = config.text_dim // directions
        self.embedding = nn.Embedding(config.vocab_size, config.word_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = nn.ModuleList(
            nn.GRU(config.word_dim, hidden, config.text_layers, batch_first=True) for _ in range(directions)
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) tokens and mask -> words (B, L, D), question (B, D), the last state of each direction."""
        words = self.dropout(self.embedding(input_ids))
        lengths = attention_mask.sum(1).clamp(min=1)
        steps = torch.arange(input_ids.shape[1], device=input_ids.device)
        last = (lengths - 1)[:, None]
        features, states = [], []
        for direction, recurrent in enumerate(self.recurrent):
            order = (last - steps).clamp(min=0) if direction else None
            inputs = _take(words, order)
            if torch.compiler.is_exporting() and not self.training:
                out = run_gru(inputs, list(recurrent.parameters()), recurrent.num_layers)
            else:
                out = recurrent(inputs)[0]
            states.append(_take(out, last)[:, 0])
            features.append(_take(out, order))
        return torch.cat(features, -1), torch.cat(states, -1)


@torch.library.custom_op("vqa::gru", mutates_args=())
def run_gru(words: Tensor, weights: list[Tensor], layers: int) -> Tensor:
    """A GRU's features (B, L, H) of words (B, L, E), as one step of an exported program, whatever the length.

    torch.export would write `nn.GRU` out step by step, for the example's length alone.
    """
    begin = words.new_zeros(layers, words.shape[0], weights[1].shape[1])
    return torch.gru(words, begin, weights, True, layers, 0.0, False, False, True)[0]


@run_gru.register_fake
def _(words: Tensor, weights: list[Tensor], layers: int) -> Tensor:
    return words.new_empty(words.shape[0], words.shape[1], weights[1].shape[1])


class HuggingFaceEncoder(nn.Module):
    """Any Hugging Face text encoder, or a small BERT from scratch (`transformer`), projected to D features."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__()
        if config.text_encoder == "transformer":
            heads = max(n for n in range(1, max(1, config.text_dim // 48) + 1) if config.text_dim % n == 0)
            bert = BertConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.text_dim,
                num_hidden_layers=config.text_layers,
                num_attention_heads=heads,
                intermediate_size=2 * config.text_dim,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                max_position_embeddings=256,
            )
            self.encoder = BertModel(bert, add_pooling_layer=False)
        else:
            settings = dict(config.text_config or {})
            self.encoder = AutoModel.from_config(AutoConfig.for_model(**settings))
        self.project = nn.Linear(self.encoder.config.hidden_size, config.text_dim)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) tokens and mask -> words (B, L, D), question (B, D), the mean over the question's words."""
        words = self.project(self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state)
        mask = attention_mask[..., None].to(words.dtype)
        return words, (words * mask).sum(1) / mask.sum(1).clamp(min=1)


class WordAttention(nn.Module):
    """Each block's view of the question: multi-head softmax attention over its words.

    Every block has a query of its own, drawn from the whole question; keys and values are shared, so that what one
    block learns to read all blocks can (compare the control unit of MAC, Hudson and Manning 2018, section 3.2.1).
    """

    def __init__(self, dim: int, readers: int, heads: int = 4) -> None:
        super().__init__()
        self.readers, self.heads = readers, heads
        self.query = nn.Linear(dim, readers * dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.mix = nn.Linear(dim, dim)

    def forward(self, words: Tensor, question: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Words (B, L, D), question (B, D), mask (B, L) -> views (B, readers, D), word weights (B, readers, L)."""
        size = words.shape[-1] // self.heads
        query = self.query(question).unflatten(1, (self.readers, self.heads, size))
        key = self.key(words).unflatten(2, (self.heads, size))
        value = self.value(words).unflatten(2, (self.heads, size))
        scores = torch.einsum("bkhd,blhd->bkhl", query, key).float() / size**0.5
        weights = scores.masked_fill(attention_mask[:, None, None] == 0, -torch.inf).softmax(-1)
        read = torch.einsum("bkhl,blhd->bkhd", weights.to(value.dtype), value).flatten(2)
        return torch.relu(self.mix(read)), weights.mean(2)


def build_text_encoder(config: FilmSEConfig) -> nn.Module:
    """The encoder that `config.text_encoder` names, with random weights."""
    return GRUEncoder(config) if config.text_encoder == "gru" else HuggingFaceEncoder(config)


def _take(features: Tensor, order: Tensor | None) -> Tensor:
    """Features (B, L, D) at positions (B, M), or as they are."""
    if order is None:
        return features
    return features.gather(1, order[..., None].expand(-1, -1, features.shape[-1]))
