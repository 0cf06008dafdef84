"""FiLM + query-conditioned squeeze-and-excitation for visual question answering: trunk and output.

The visual stem runs once per image, the trunk once per question. Each residual block is FiLM's (Perez et al. 2018,
section 4.1) followed by a squeeze-and-excitation gate (Hu et al. 2018) that reads the question as well as the features.
With `config.evidence` each block also marks the objects it found; see `vqa.model.object_attention`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from vqa.layers import FiLM, QueryConditionedSE
from vqa.layers.film import Beta, Gamma, Placement, film_norm_relu
from vqa.layers.functional import GATES, coordinate_maps
from vqa.model.configuration import FilmSEConfig
from vqa.model.factored_attention import FactoredAttention
from vqa.model.gates import build_gate
from vqa.model.heads import HEADS, EvidenceHead
from vqa.model.object_attention import ObjectAttention, StepClassifier
from vqa.model.pointers import SetStack
from vqa.model.scene import ATTRIBUTE_SIZES, STEP_SIZES, Grid, SceneHead, SceneMaps, TwoStreamSceneHead
from vqa.model.second_look import SecondLook
from vqa.model.text import WordAttention, build_text_encoder
from vqa.model.two_stream import TwoStreamEncoder
from vqa.model.vision import build_vision_encoder


@dataclass
class FilmSEOutput(ModelOutput):
    """What the model found, and how. Tuples have an entry per block; what the configuration lacks is None.

    Args:
        loss: cross-entropy of the answers, where labels were given; shape ().
        logits: (B, answers), divided by `config.logit_temperature` when the model is not in training.
        film_gamma, film_beta: FiLM's scale and shift, (B, C).
        channel_weights: the gate's weight of every channel, (B, C); of an input gate, of the attribute channels that a
            block reads, (B, 15).
        spatial_weights: the evidence map, the probability of an object that the block selects in a cell, (B, H, W).
        word_weights: softmax weights of the words, (B, L).
        pathway_weights: weights of the nine pathways of the pathway head, (B, 9).
        evidence_logits: log-odds behind `spatial_weights` given that the cell holds an object's centre, (B, H, W).
        pointer_logits: which earlier block's evidence a block reads beside its predecessor's,
            (B, blocks + 1, blocks + 1); the last row is the head's, where it reads evidence; column 0 means none,
            column j + 1 block j.
        step_logits: what each block believes its reasoning step to be, (B, blocks, operations and filters).
        kind_logits: which function the answer comes from, as far as a factored head reads, (B, `ANSWER_FUNCTIONS`).
        scene: objectness, attribute logits and ground positions of every cell of the N images.
        gate_logits: what an input gate decides by, for each block and, last, the head, (B, blocks + 1, 15).
        head_channel_weights: an input gate's weights of the attribute channels that the head reads, (B, 15).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    film_gamma: tuple[Tensor, ...] | None = None
    film_beta: tuple[Tensor, ...] | None = None
    channel_weights: tuple[Tensor, ...] | None = None
    spatial_weights: tuple[Tensor, ...] | None = None
    word_weights: tuple[Tensor, ...] | None = None
    pathway_weights: Tensor | None = None
    evidence_logits: tuple[Tensor, ...] | None = None
    pointer_logits: Tensor | None = None
    step_logits: Tensor | None = None
    kind_logits: Tensor | None = None
    scene: SceneMaps | None = None
    gate_logits: Tensor | None = None
    head_channel_weights: Tensor | None = None


torch.export.register_dataclass(SceneMaps)


class FilmSEBlock(nn.Module):
    """1x1 conv - ReLU - 3x3 conv - BatchNorm - FiLM - ReLU - channel gate, added to what the 1x1 conv gave."""

    gate: Any

    def __init__(self, config: FilmSEConfig, in_channels: int, condition_dim: int) -> None:
        super().__init__()
        width = config.trunk_width
        self.placement = cast(Placement, config.film_placement)
        groups = FactoredAttention.GROUPS if config.factored else 1
        self.reduce = nn.Conv2d(in_channels, width, 1, groups=groups)
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.norm = nn.BatchNorm2d(width, affine=not config.film)
        gamma, beta = cast(Gamma, config.film_gamma), cast(Beta, config.film_beta)
        self.film = FiLM(condition_dim, width, gamma=gamma, beta=beta, groups=groups) if config.film else None
        self.gate = build_gate(config, width) if config.gate_placement == "output" else None

    def forward(
        self, x: Tensor, condition: Tensor, question: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """x (B, in, H, W), condition (B, E), question (B, D) -> features (B, C, H, W), gamma, beta, weights (B, C)."""
        skip = torch.relu(self.reduce(x))
        x, gamma, beta = self.conv(skip), None, None
        if self.film is None:
            x = torch.relu(self.norm(x))
        else:
            gamma, beta = self.film.parameters_for(condition)
            x = film_norm_relu(x, self.norm, gamma, beta, self.placement)
        x, weights = self.apply_gate(x, question)
        return skip + x, gamma, beta, weights

    def apply_gate(self, x: Tensor, question: Tensor) -> tuple[Tensor, Tensor | None]:
        """x (B, C, H, W) through the gate, and its weights (B, C); as it is, and None, without a gate."""
        if self.gate is None:
            return x, None
        weights = self.gate.weights(x, question)
        return self.gate(x, question, weights), weights

    def open_channels(self, weights: Tensor) -> Tensor:
        """What this block reads through an input gate of these weights (B, 15): an intervention may change them."""
        return weights


@dataclass
class _Trunk:
    """What each block used and found: FiLM's gamma and beta, its gate, object attention, its logits, pointer logits."""

    gammas: list[Any] = field(default_factory=list)
    betas: list[Any] = field(default_factory=list)
    gates: list[Any] = field(default_factory=list)
    maps: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)
    pointers: list[Tensor] = field(default_factory=list)


def _in_own_precision(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method under autocast where the weights were loaded in half precision: what must not lose digits keeps them."""

    @wraps(method)
    def run(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
        if self.dtype is torch.float32:
            return method(self, *args, **kwargs)
        with torch.autocast(self.device.type, self.dtype):
            return method(self, *args, **kwargs)

    return run


class FilmSEPreTrainedModel(PreTrainedModel):
    """Loading, saving and weight initialisation, shared by all heads."""

    config_class = FilmSEConfig
    base_model_prefix = "film_se"
    main_input_name = "pixel_values"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(
            module, nn.Conv1d | nn.Conv2d | nn.Linear | nn.Embedding | nn.GRU | SceneHead | TwoStreamSceneHead
        ):
            module.reset_parameters()


class FilmSEForVisualQuestionAnswering(FilmSEPreTrainedModel):
    """Answers questions about images; see `FilmSEConfig` for the parts and `FilmSEOutput` for what it returns."""

    vision: Any
    scene: Any
    second_look: SecondLook | None
    input_gate: QueryConditionedSE | None

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__(config)
        width, blocks, dim = config.width, config.num_blocks, config.text_dim
        self.vision = build_vision_encoder(config)
        self.text = build_text_encoder(config)
        readers = blocks + 1 if config.evidence else blocks
        self.word_attention = WordAttention(dim, readers) if config.word_attention else None
        self.scene = self._build_scene_head(config)
        looks_twice = config.vision_encoder == "two_stream" and config.second_look and config.evidence
        self.second_look = SecondLook() if looks_twice else None
        attention = FactoredAttention if config.factored else ObjectAttention
        self.evidence = nn.ModuleList(attention(config, k) for k in range(blocks)) if config.evidence else None
        gated = config.channel_attention != "none" and config.gate_placement == "input"
        self.input_gate = cast(QueryConditionedSE, build_gate(config, sum(ATTRIBUTE_SIZES))) if gated else None
        self.steps = StepClassifier(dim) if config.evidence else None
        extra = 2 + (ObjectAttention.EXTRA_CHANNELS if config.evidence else 0)
        condition = attention.condition_dim(config) if config.evidence else dim
        # behind an input gate a block begins from what it reads alone; else from the features before it too
        inputs = [extra] * blocks if gated else [self._features_read(config) + extra, *[width + extra] * (blocks - 1)]
        inputs = [FactoredAttention.CHANNELS] * blocks if config.factored else inputs
        self.blocks = nn.ModuleList(FilmSEBlock(config, size, condition) for size in inputs)
        self.head = HEADS[config.head](config)
        self._tied_weights_keys = self._shared_weights()
        self.post_init()

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Each weight that a block shares with the first one -> the first one's."""
        return super().get_expanded_tied_weights_keys(all_submodels) | self._tied_weights_keys

    def _shared_weights(self) -> dict[str, str]:
        if not self.config.shared_blocks:
            return {}
        return {
            f"{part}.{k}.{name}": f"{part}.0.{name}"
            for part, blocks in (("blocks", self.blocks), ("evidence", cast(nn.ModuleList, self.evidence)))
            for name, _ in blocks[0].named_parameters()
            if not name.startswith("pointer.")
            for k in range(1, len(blocks))
        }

    @_in_own_precision
    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> features (N, C, h, w); pass them as `image_features` to ask again cheaply.

        With a second look its logits are the last seven channels.
        """
        if self.second_look is None:
            return self.vision(pixel_values)
        fixed = None if self.vision.training else self.vision.luminance(pixel_values.float())
        features = self.vision(pixel_values, fixed)
        objectness, center = self.scene.find(self.scene.hidden_features(features))
        luminance = self.vision.luminance(pixel_values.float()) if fixed is None else fixed  # drawn anew in training
        second = self.second_look(luminance, objectness.detach(), center)
        return torch.cat([features, second.to(features.dtype)], 1)

    def _build_scene_head(self, config: FilmSEConfig) -> nn.Module | None:
        if not config.evidence:
            return None
        if isinstance(self.vision, TwoStreamEncoder):
            return TwoStreamSceneHead(self.vision.form_channels, self.vision.color_channels)
        return SceneHead(config.width)

    def _features_read(self, config: FilmSEConfig) -> int:
        if not isinstance(self.vision, TwoStreamEncoder):
            return config.width
        return self.vision.out_channels if config.trunk_features else config.width

    @_in_own_precision
    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_index: Tensor | None = None,
        labels: Tensor | None = None,
        image_features: Tensor | None = None,
        return_dict: bool | None = None,
        encoders_only: bool = False,
    ) -> FilmSEOutput | tuple[Tensor, ...]:
        """Answer B questions about N images.

        Args:
            pixel_values: (N, 3, H, W), normalised as `FilmSEImageProcessor` does; or give `image_features`.
            input_ids, attention_mask: the questions' tokens, (B, L), padded on the right.
            image_index: (B,), the image each question is about; may be left out where B = N.
            labels: (B,), indices of the right answers; -100 is left out of the loss.
            image_features: (N, C, h, w) of `encode_images`, instead of `pixel_values`.
            encoders_only: give `scene`, `step_logits` and `gate_logits` alone, to train the encoders first.

        Raises ValueError where the shapes do not fit each other.
        """
        if input_ids is None or (pixel_values is None) == (image_features is None):
            raise ValueError("give input_ids, and one of pixel_values and image_features")
        features = self.encode_images(pixel_values) if pixel_values is not None else image_features
        assert features is not None
        attention_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        if image_index is None and features.shape[0] != input_ids.shape[0]:
            raise ValueError(f"{input_ids.shape[0]} questions about {features.shape[0]} images need image_index")
        views, word_weights = self._views(input_ids, attention_mask)
        scene = self.scene(features) if self.scene is not None else None
        steps = self.steps(views[:, : self.config.num_blocks]) if self.steps is not None else None
        gate = self.input_gate
        gate_logits = None if gate is None else gate.logits(None, views.flatten(0, 1)).unflatten(0, views.shape[:2])
        if encoders_only:
            return FilmSEOutput(step_logits=steps, scene=scene, gate_logits=gate_logits)
        kinds = self._kind_logits(views[:, -1])
        grid = scene.per_question(image_index) if scene is not None else None
        gates = None if gate is None or gate_logits is None else GATES[gate.gate](gate_logits)
        x = self._first_features(features, image_index, input_ids.shape[0])
        coords = coordinate_maps(features).expand(input_ids.shape[0], -1, -1, -1)
        stack = self._stack(steps)
        x, trunk = self._run_blocks(x, coords, views, grid, steps, gates, stack)
        head_gate, seen = None, grid
        if gates is not None and grid is not None:
            head_gate = self.open_for_head(gates[:, -1])
            seen = grid.gated(head_gate.float())
        answers, pointer, pathway_weights = self.head(x, views[:, -1], seen, trunk.maps, stack)
        pointers = [*trunk.pointers, *([] if pointer is None else [pointer])]
        config = self.config
        answers = answers if self.training else answers / config.logit_temperature
        output = FilmSEOutput(
            loss=None if labels is None else F.cross_entropy(answers.float(), labels),
            logits=answers,
            film_gamma=tuple(trunk.gammas) if config.film else None,
            film_beta=tuple(trunk.betas) if config.film else None,
            channel_weights=tuple(trunk.gates) if config.channel_attention != "none" else None,
            spatial_weights=tuple(trunk.maps) or None,
            word_weights=None if word_weights is None else word_weights[:, : config.num_blocks].unbind(1),
            pathway_weights=pathway_weights,
            evidence_logits=tuple(trunk.logits) or None,
            pointer_logits=torch.stack(pointers, 1) if pointers else None,
            step_logits=steps,
            kind_logits=kinds,
            scene=scene,
            gate_logits=gate_logits,
            head_channel_weights=head_gate,
        )
        return output if return_dict is not False else output.to_tuple()

    def _views(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Each reader's view of the question (B, readers, D), and the weights of its words (B, readers, L)."""
        words, question = self.text(input_ids, attention_mask)
        if self.word_attention is None:
            return question[:, None].expand(-1, self.config.num_blocks + 1, -1), None
        return self.word_attention(words, question, attention_mask)

    def _run_blocks(
        self,
        x: Tensor,
        coords: Tensor,
        views: Tensor,
        grid: Grid | None,
        steps: Tensor | None,
        gates: Tensor | None,
        stack: SetStack | None,
    ) -> tuple[Tensor, _Trunk]:
        """The last block's features (B, C, h, w), and what each block used and found."""
        trunk = _Trunk()
        readings = FactoredAttention.readings(steps) if self.config.factored and steps is not None else None
        for k, block in enumerate(cast(list[FilmSEBlock], self.blocks)):
            inputs, condition = [x, coords] if gates is None else [coords], views[:, k]
            attention: Any = self.evidence[k] if self.evidence is not None else None
            opened = None
            if attention is not None and grid is not None:
                seen = grid
                if gates is not None:
                    opened = block.open_channels(gates[:, k])
                    seen = grid.gated(opened.float())
                if readings is not None:
                    extra, condition, pointer = attention.read(seen, trunk.maps, views[:, k], readings[:, k], stack)
                    inputs = []
                else:
                    extra, condition, pointer = attention.read(seen, trunk.maps, views[:, k], stack)
                inputs.append(extra.to(coords.dtype))
                trunk.pointers.append(pointer)
            x, gamma, beta, gate = block(torch.cat(inputs, 1), condition, views[:, k])
            trunk.gammas.append(gamma)
            trunk.betas.append(beta)
            trunk.gates.append(gate if opened is None else opened)
            if attention is not None and grid is not None:
                logits, attended = attention.attend(x, condition, grid, opened)
                trunk.logits.append(logits)
                trunk.maps.append(attended)
        return x, trunk

    def _stack(self, steps: Tensor | None) -> SetStack | None:
        if steps is None or self.config.pointer != "stack":
            return None
        return SetStack(steps[..., : STEP_SIZES[0]].float().softmax(-1))

    def open_for_head(self, weights: Tensor) -> Tensor:
        """What the head reads through an input gate of these weights (B, 15): an intervention may change them."""
        return weights

    def _kind_logits(self, view: Tensor) -> Tensor | None:
        kinds = self.head.kinds if isinstance(self.head, EvidenceHead) else None
        return None if kinds is None else kinds(view)

    def _first_features(self, features: Tensor, image_index: Tensor | None, questions: int) -> Tensor:
        """What the first block begins from, (B, C, h, w): the encoder's features, or nothing."""
        if not self.config.trunk_features:
            return features.new_zeros(questions, self.config.trunk_width, *features.shape[-2:])
        if isinstance(self.vision, TwoStreamEncoder):
            features = features[:, : self.vision.out_channels]
        return features if image_index is None else features.index_select(0, image_index)
