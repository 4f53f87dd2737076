"""What a preset of the VLA family says, checked strictly: ``config/train/*.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from vla_nav.bringup.share import share_directory
from vla_nav.spaces import ActionSpace

# What the full-size members are built on.
KOSMOS2 = 'microsoft/kosmos-2-patch14-224'
CLIP = 'openai/clip-vit-base-patch32'
Tune = Literal['frozen', 'lora', 'full']
_Size = Annotated[int, Field(ge=1)]
_Dropout = Annotated[float, Field(ge=0, lt=1)]


class ConfigError(ValueError):
    """A configuration is wrong; the message names file, key, value and remedy."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra='forbid', frozen=True)


class PretrainedConfig(_Strict):
    """A published checkpoint: its name on the hub or a directory that holds its files.

    ``tune`` is what of its weights trains: none, low-rank additions (LoRA), or all.
    """

    source: str = Field(min_length=1)
    tune: Tune = 'frozen'
    lora_rank: int = Field(16, ge=1)


class Kosmos2Config(PretrainedConfig):
    """Kosmos-2 reads instruction and picture; ``readout`` is where the action feature comes from.

    ``query`` appends a learned embedding and reads what becomes of it. ``last`` reads the last
    token of the picture: nothing trains, so that features can be cached.
    """

    source: str = KOSMOS2
    readout: Literal['query', 'last'] = 'query'


class ClipConfig(PretrainedConfig):
    """CLIP's two towers; ``normalise`` puts their features on CLIP's unit sphere."""

    source: str = CLIP
    normalise: bool = True


class SmallVlmConfig(_Strict):
    """A transformer over instruction, picture and query, from scratch: Kosmos-2's small form."""

    width: _Size = 128
    depth: _Size = 3
    heads: _Size = 4


class SmallConvConfig(_Strict):
    """A text-steered convolutional encoder, from scratch: CLIP's small form."""

    feature: _Size = 192
    normalise: bool = True


class ResamplerConfig(_Strict):
    """How many learned queries read the picture's tokens, in how many layers.

    ``width`` is that of the layers; None takes the tokens' own. A smaller one makes an epoch over
    kept features cheap.
    """

    queries: _Size = 64
    depth: _Size = 2
    heads: _Size = 8
    width: _Size | None = None

    @model_validator(mode='after')
    def _heads_share_the_width(self) -> ResamplerConfig:
        if self.width and self.width % self.heads:
            raise ValueError(f'resampler.width={self.width} cannot be shared by '
                             f'{self.heads} heads: give a multiple of heads')
        return self


class BackboneConfig(_Strict):
    """What sees and reads; the picture is [height, width] pixels."""

    height: int = Field(ge=8, le=4096)
    width: int = Field(ge=8, le=4096)
    kosmos2: Kosmos2Config | None = None
    clip: ClipConfig | None = None
    small_vlm: SmallVlmConfig | None = None
    small_conv: SmallConvConfig | None = None
    resampler: ResamplerConfig | None = None
    dtype: Literal['float32', 'bfloat16', 'float16'] = 'float32'

    @model_validator(mode='after')
    def _something_sees(self) -> BackboneConfig:
        if not (self.kosmos2 or self.clip or self.small_vlm or self.small_conv):
            raise ValueError('nothing sees: give kosmos2, clip, small_vlm or small_conv')
        if self.resampler and not (self.clip or self.small_conv):
            raise ValueError('resampler reads the tokens of clip or small_conv: give one of '
                             'them, or resampler=null')
        tuned = any(part and part.tune == 'full' for part in (self.kosmos2, self.clip))
        if tuned and self.dtype != 'float32':
            raise ValueError(f'tune=full would round small steps away in dtype={self.dtype}: set '
                             'backbone.dtype=float32 and train.precision=bf16')
        return self


class FusionConfig(_Strict):
    """The features of all backbones become one of ``size``."""

    size: _Size


class HeadConfig(_Strict):
    """What remembers and decides.

    ``window_s`` is the time that a training window spans and that a transformer looks back on.
    ``predictor`` are the hidden widths of the MLP that gives the actions.
    """

    kind: Literal['lstm', 'gru', 'mlp', 'transformer']
    hidden: _Size
    layers: _Size = 1
    dropout: _Dropout = 0.0
    attention_heads: _Size = 8
    window_s: float = Field(0.8, gt=0, le=60)
    predictor: tuple[_Size, ...] = (1024, 512, 256)

    @model_validator(mode='after')
    def _divisible(self) -> HeadConfig:
        if self.kind == 'transformer' and self.hidden % self.attention_heads:
            raise ValueError(f'hidden={self.hidden} is not divisible by '
                             f'attention_heads={self.attention_heads}')
        return self


class ActionConfig(_Strict):
    """The action space in SI units, the length of a chunk and of its steps.

    ``limits`` maps an axis to its symmetric limit, or to [low, high].
    """

    limits: dict[str, float | tuple[float, float]]
    chunk: _Size
    step_s: float = Field(0.1, gt=0, le=10)

    @field_validator('limits')
    @classmethod
    def _valid_space(cls, value: dict[str, Any]) -> dict[str, Any]:
        _space(value)
        return value

    @property
    def space(self) -> ActionSpace:
        """Return the action space."""
        return _space(self.limits)


class TrainConfig(_Strict):
    """The recipe; how it is carried out is in :mod:`vla_nav.training.family`.

    ``batch``: windows a step, over all processes, in ``accumulate`` parts one after the other.
    ``warm_up``: share of all steps. ``stride_s``: time between windows, by default their length.
    ``rate_hz``: of recordings without stamps. ``augment``: strength of the changes of light, of
    which a feature cache keeps ``lights`` a picture. ``patience``: epochs without a better
    validation loss until the training stops. ``workers``: processes that read pictures.
    """

    epochs: _Size = 10
    batch: _Size = 4
    accumulate: _Size = 1
    lr: float = Field(1e-4, gt=0)
    warm_up: float = Field(0.03, ge=0, lt=1)
    schedule: Literal['cosine', 'constant'] = 'cosine'
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    loss: Literal['huber', 'mse', 'l1'] = 'huber'
    huber_beta: float = Field(0.4, gt=0)
    precision: Literal['fp32', 'fp16', 'bf16'] = 'fp32'  # YAML reads no as false
    gradient_checkpointing: bool = False
    deterministic: bool = False
    patience: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)
    stride_s: float | None = Field(None, gt=0)
    rate_hz: float | None = Field(None, gt=0)
    split_by: Literal['scenario', 'session', 'date'] = 'scenario'
    validation_share: float = Field(0.1, gt=0, lt=0.5)
    test_share: float = Field(0.1, ge=0, lt=0.5)
    cache: bool = True
    augment: float = Field(0.5, ge=0, le=3)
    lights: _Size = 4
    save_every: _Size = 500
    workers: int = Field(0, ge=0)


class FamilyConfig(_Strict):
    """One member of the family."""

    name: str = Field(pattern=r'^[a-z0-9_]+$')
    about: str
    backbone: BackboneConfig
    fusion: FusionConfig
    head: HeadConfig
    action: ActionConfig
    train: TrainConfig = TrainConfig.model_validate({})

    @property
    def window(self) -> int:
        """Return the number of steps in a window, at least 1."""
        return max(1, round(self.head.window_s / self.action.step_s))

    @property
    def step_ns(self) -> int:
        """Return the length of a step in nanoseconds."""
        return round(self.action.step_s * 1e9)


def presets() -> tuple[str, ...]:
    """Return the names of the presets that the package ships."""
    return tuple(sorted(path.stem for path in _directory().glob('*.yaml')))


def load_preset(name_or_path: str | Path, overrides: list[str] | None = None) -> FamilyConfig:
    """Read a preset by name, or a YAML file by path, and set ``key.sub=value`` overrides in it.

    Values are YAML. Raises ConfigError naming file, key, value and remedy.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = _directory() / f'{name_or_path}.yaml'
        if not path.is_file():
            raise ConfigError(f'there is no preset {str(name_or_path)!r}; there are '
                              f'{", ".join(presets())}, or give the path of a .yaml file')
    try:
        data = yaml.safe_load(path.read_text('utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f'{path}: cannot be read: {error}; choose a preset '
                          f'({", ".join(presets())}) or correct the file') from error
    if not isinstance(data, dict):
        raise ConfigError(f'{path}: is {data!r:.60}, not keys with values; start from a copy of '
                          f'a preset in {_directory()}')
    for override in overrides or []:
        _set(data, override)
    return validate(data, str(path))


def validate(data: Any, source: str) -> FamilyConfig:
    """Return the configuration that ``data`` holds; raise ConfigError naming ``source``."""
    try:
        return FamilyConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f'{source}: ' + '; '.join(
            f'{".".join(map(str, e["loc"])) or "(whole)"} is {e["input"]!r:.80}: '
            f'{e["msg"].removeprefix("Value error, ")}{_remedy(e["type"], e["loc"])}'
            for e in error.errors())) from None


def _set(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition('=')
    words = key.strip().split('.')
    if not equals or not all(words):
        raise ConfigError(f'override {override!r}: expected key=value, such as head.hidden=1024')
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f'override {override!r}: the value is no YAML: {error}') from error
    here = data
    for word in words[:-1]:
        # A part that the preset leaves out, or sets to null, begins with its defaults.
        if here.get(word) is None:
            here[word] = {}
        here = here[word]
        if not isinstance(here, dict):
            raise ConfigError(f'override {override!r}: {word!r} is {here!r}, which has no keys '
                              f'below it; set {word}=VALUE itself')
    # YAML reads 1e-4 as text; a number is what was meant.
    here[words[-1]] = _number(value) if isinstance(value, str) else value


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _remedy(kind: str, place: tuple[int | str, ...]) -> str:
    if kind != 'extra_forbidden':
        return '; correct it in the file or with key=value'
    model: Any = FamilyConfig
    for word in place[:-1]:
        model = _section(model, str(word))
    known = sorted(model.model_fields) if model else []
    return f'; known here are {", ".join(known)}' if known else '; remove it'


def _section(model: Any, word: str) -> Any:
    field = model.model_fields.get(word) if model else None
    if field is None:
        return None
    options = getattr(field.annotation, '__args__', (field.annotation,))
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _space(limits: dict[str, Any]) -> ActionSpace:
    bounds = {axis: (-limit, limit) if isinstance(limit, (int, float)) else limit
              for axis, limit in limits.items()}
    return ActionSpace(tuple(bounds), tuple(float(low) for low, _ in bounds.values()),
                       tuple(float(high) for _, high in bounds.values()))


def _directory() -> Path:
    return share_directory() / 'config' / 'train'
