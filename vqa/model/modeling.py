"""FiLM + query-conditioned squeeze-and-excitation for visual question answering: trunk and output.

The visual stem runs once per image, the trunk once per question. Each residual block is FiLM's (Perez et al. 2018,
section 4.1) followed by a squeeze-and-excitation gate (Hu et al. 2018) that reads the question as well as the features.
With `config.evidence` each block also marks the objects it found; see `vqa.model.object_attention`.
"""

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from vqa.layers import FiLM
from vqa.layers.film import Beta, Gamma, Placement, film_norm_relu
from vqa.model.configuration import FilmSEConfig
from vqa.model.gates import MECHANISMS
from vqa.model.heads import HEADS
from vqa.model.object_attention import Evidence, StepClassifier
from vqa.model.scene import SceneHead, SceneMaps
from vqa.model.text import WordAttention, build_text_encoder
from vqa.model.vision import build_vision_encoder, coordinate_maps


@dataclass
class FilmSEOutput(ModelOutput):
    """What the model found, and how. Tuples have an entry per block; what the configuration lacks is None.

    Args:
        loss: cross-entropy of the answers, where labels were given; shape ().
        logits: (B, answers), divided by `config.logit_temperature` when the model is not in training.
        film_gamma, film_beta: FiLM's scale and shift, (B, C).
        channel_weights: the gate's weight of every channel, (B, C).
        spatial_weights: the evidence map, the probability of an object that the block selects in a cell, (B, H, W).
        word_weights: softmax weights of the words, (B, L).
        pathway_weights: weights of the nine pathways of the pathway head, (B, 9).
        evidence_logits: log-odds behind `spatial_weights` given that the cell holds an object's centre, (B, H, W).
        pointer_logits: which earlier block's evidence a block reads beside its predecessor's,
            (B, blocks + 1, blocks + 1); the last row is the head's, where it reads evidence; column 0 means none,
            column j + 1 block j.
        step_logits: what each block believes its reasoning step to be, (B, blocks, operations and filters).
        scene: objectness, attribute logits and ground positions of every cell of the N images.
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
    scene: SceneMaps | None = None


torch.export.register_dataclass(SceneMaps)


class FilmSEBlock(nn.Module):
    """1x1 conv - ReLU - 3x3 conv - BatchNorm - FiLM - ReLU - channel gate, added to what the 1x1 conv gave."""

    def __init__(self, config: FilmSEConfig, in_channels: int, condition_dim: int) -> None:
        super().__init__()
        width = config.width
        self.placement = cast(Placement, config.film_placement)
        self.mechanism = MECHANISMS[config.channel_attention]
        self.reduce = nn.Conv2d(in_channels, width, 1)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width, affine=not config.film)
        gamma, beta = cast(Gamma, config.film_gamma), cast(Beta, config.film_beta)
        self.film = FiLM(condition_dim, width, gamma=gamma, beta=beta) if config.film else None
        self.gate = self.mechanism.build(config)

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
        x, weights = self.mechanism.apply(self.gate, x, question)
        return skip + x, gamma, beta, weights


class FilmSEPreTrainedModel(PreTrainedModel):
    """Loading, saving and weight initialisation, shared by all heads."""

    config_class = FilmSEConfig
    base_model_prefix = "film_se"
    main_input_name = "pixel_values"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear | nn.Embedding | nn.GRU | SceneHead):
            module.reset_parameters()


class FilmSEForVisualQuestionAnswering(FilmSEPreTrainedModel):
    """Answers questions about images; see `FilmSEConfig` for the parts and `FilmSEOutput` for what it returns."""

    def __init__(self, config: FilmSEConfig) -> None:
        super().__init__(config)
        width, blocks, dim = config.width, config.num_blocks, config.text_dim
        self.vision = build_vision_encoder(config)
        self.text = build_text_encoder(config)
        readers = blocks + 1 if config.evidence else blocks
        self.word_attention = WordAttention(dim, readers) if config.word_attention else None
        self.scene = SceneHead(width) if config.evidence else None
        self.evidence = nn.ModuleList(Evidence(config, k) for k in range(blocks)) if config.evidence else None
        self.steps = StepClassifier(dim) if config.evidence else None
        extra = Evidence.EXTRA_CHANNELS if config.evidence else 0
        condition = Evidence.condition_dim(config) if config.evidence else dim
        self.blocks = nn.ModuleList(FilmSEBlock(config, width + 2 + extra, condition) for _ in range(blocks))
        self.head = HEADS[config.head](config)
        self.post_init()

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> stem features (N, C, h, w); pass them as `image_features` to ask again cheaply."""
        return self.vision(pixel_values)

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
        separate_vision: bool = False,
    ) -> FilmSEOutput | tuple[Tensor, ...]:
        """Answer B questions about N images.

        Args:
            pixel_values: (N, 3, H, W), normalised as `FilmSEImageProcessor` does; or give `image_features`.
            input_ids, attention_mask: the questions' tokens, (B, L), padded on the right.
            image_index: (B,), the image each question is about; may be left out where B = N.
            labels: (B,), indices of the right answers; -100 is left out of the loss.
            image_features: (N, C, h, w) of `encode_images`, instead of `pixel_values`.
            encoders_only: leave out the trunk and give `scene` and `step_logits` alone, to teach the encoders first.
            separate_vision: of all outputs let `scene` alone teach what sees the image.

        Raises ValueError where the shapes do not fit each other.
        """
        if input_ids is None or (pixel_values is None) == (image_features is None):
            raise ValueError("give input_ids, and one of pixel_values and image_features")
        features = self.encode_images(pixel_values) if pixel_values is not None else image_features
        assert features is not None
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if image_index is None and features.shape[0] != input_ids.shape[0]:
            raise ValueError(f"{input_ids.shape[0]} questions about {features.shape[0]} images need image_index")
        words, question = self.text(input_ids, attention_mask)
        if self.word_attention is None:
            views, word_weights = question[:, None].expand(-1, self.config.num_blocks + 1, -1), None
        else:
            views, word_weights = self.word_attention(words, question, attention_mask)
        scene = self.scene(features) if self.scene is not None else None
        steps = self.steps(views[:, : self.config.num_blocks]) if self.steps is not None else None
        if encoders_only:
            return FilmSEOutput(step_logits=steps, scene=scene)
        read = scene
        if separate_vision:
            features, read = features.detach(), scene and SceneMaps(*(maps.detach() for maps in vars(scene).values()))
        grid = read.per_question(image_index) if read is not None else None
        x = features if self.config.trunk_features else torch.zeros_like(features)
        x = x if image_index is None else x.index_select(0, image_index)
        coords = coordinate_maps(x).expand(x.shape[0], -1, -1, -1)
        gammas, betas, gates, evidence_logits, pointers = [], [], [], [], []
        maps: list[Tensor] = []
        for k, block in enumerate(self.blocks):
            inputs, condition = [x, coords], views[:, k]
            evidence = cast(Evidence, self.evidence[k]) if self.evidence is not None else None
            if evidence is not None and grid is not None:
                extra, condition, pointer = evidence.read(grid, maps, views[:, k])
                inputs.append(extra.to(x.dtype))
                pointers.append(pointer)
            x, gamma, beta, gate = block(torch.cat(inputs, 1), condition, views[:, k])
            gammas.append(gamma)
            betas.append(beta)
            gates.append(gate)
            if evidence is not None and grid is not None:
                logits, marked = evidence.mark(x, condition, grid)
                evidence_logits.append(logits)
                maps.append(marked)
        answers, pointer, pathway_weights = self.head(x, views[:, -1], grid, maps)
        if pointer is not None:
            pointers.append(pointer)
        config = self.config
        if not self.training:
            answers = answers / config.logit_temperature
        output = FilmSEOutput(
            loss=None if labels is None else F.cross_entropy(answers.float(), labels),
            logits=answers,
            film_gamma=tuple(gammas) if config.film else None,
            film_beta=tuple(betas) if config.film else None,
            channel_weights=tuple(gates) if config.channel_attention != "none" else None,
            spatial_weights=tuple(maps) or None,
            word_weights=None if word_weights is None else word_weights[:, : config.num_blocks].unbind(1),
            pathway_weights=pathway_weights,
            evidence_logits=tuple(evidence_logits) or None,
            pointer_logits=torch.stack(pointers, 1) if pointers else None,
            step_logits=steps,
            scene=scene,
        )
        return output if return_dict is not False else output.to_tuple()
