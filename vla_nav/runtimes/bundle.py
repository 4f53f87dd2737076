"""A policy bundle: a directory with ``config.json``, ONNX graphs and a model card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from vla_nav.contracts import PolicyError
from vla_nav.language.tokenizer import normalise
from vla_nav.spaces import ActionSpace

FORMAT_VERSION: Final = 1
CONFIG_NAME = 'config.json'
Target = Literal['onnx', 'torchscript', 'openvino']
Precision = Literal['fp32', 'fp16', 'bf16', 'int8']
Part = Literal['full', 'head']
_BLOCK = 1 << 20
_Model = TypeVar('_Model', bound=BaseModel)


class Strict(BaseModel):
    """A part of a ``config.json``: constant once read; keys that are not known are an error."""

    model_config = ConfigDict(extra='forbid', frozen=True)


class ActionSpaceConfig(Strict):
    """The stored form of :class:`vla_nav.spaces.ActionSpace`, SI limits."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def build(self) -> ActionSpace:
        """Return the action space; raise ValueError where it is not a valid one."""
        return ActionSpace(self.names, self.low, self.high)


class ImageConfig(Strict):
    """The picture that the policy takes, in pixels."""

    height: int = Field(ge=8, le=4096)
    width: int = Field(ge=8, le=4096)


class BundleFile(Strict):
    """A file of the bundle and the SHA-256 of its content, lower-case hexadecimal."""

    name: str = Field(pattern=r'^[A-Za-z0-9_][A-Za-z0-9_.-]*$')  # a plain name: no other folder
    sha256: str = Field(pattern=r'^[0-9a-f]{64}$')

    @classmethod
    def of(cls, path: Path) -> BundleFile:
        """Describe an existing file."""
        return cls(name=path.name, sha256=sha256_of(path))


class BundleFiles(Strict):
    """The graphs that a robot needs, and the weights that training can resume from.

    A policy that knows one task only has ``phrases`` in its config in place of ``instruction``.
    ``weights`` is what the graph keeps beside its own file. ``text`` and ``tokens`` are the graph
    that reads the instruction for a policy with a language backbone, and the words it knows;
    ``text_weights`` is what that graph keeps beside its file. ``memory`` is the graph that moves
    the memory on without a picture.
    """

    policy: BundleFile
    instruction: BundleFile | None = None
    model: BundleFile | None = None
    weights: BundleFile | None = None
    memory: BundleFile | None = None
    text: BundleFile | None = None
    text_weights: BundleFile | None = None
    tokens: BundleFile | None = None


class FamilyFiles(Strict):
    """What was trained of a member of the VLA family, and its instruction reader."""

    model: BundleFile
    instruction: BundleFile | None = None


class Saved(Strict):
    """A ``config.json`` of any kind of bundle."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str = Field(min_length=1)

    def save(self, directory: Path) -> Path:
        """Write ``config.json`` into the bundle's directory and return its path."""
        path = directory / CONFIG_NAME
        path.write_text(self.model_dump_json(indent=2, exclude_none=True) + '\n', 'utf-8')
        return path


class SavedPolicy(Saved):
    """A ``config.json`` of any kind of policy."""

    architecture: str = Field(min_length=1)
    max_observation_age_s: float = Field(gt=0, allow_inf_nan=False)


class Network(SavedPolicy):
    """What is common to policies that are one network; times as their names tell."""

    action_space: ActionSpaceConfig
    image: ImageConfig
    step_ns: int = Field(gt=0)
    chunk: int = Field(ge=1)
    arrived_threshold: float = Field(gt=0, le=1, allow_inf_nan=False)
    files: BundleFiles | FamilyFiles
    phrases: tuple[str, ...] = ()
    training: dict[str, Any] = Field(default_factory=dict)

    @field_validator('action_space')
    @classmethod
    def _valid_space(cls, value: ActionSpaceConfig) -> ActionSpaceConfig:
        value.build()
        return value

    @model_validator(mode='after')
    def _one_way_to_read(self) -> Network:
        if (self.files.instruction is None) != bool(self.phrases):
            raise ValueError('either files.instruction reads what the policy is told, or phrases '
                             'lists the ways to name its one task; give one of the two')
        if not all(normalise(phrase) for phrase in self.phrases):
            raise ValueError('a phrase is empty')
        return self


class Export(Strict):
    """How an exported graph came to be; ``parity`` is how far it differs from its source.

    ``source`` names the bundle and ``source_sha256`` the weights that it was made from; the graph
    itself carries them too. ``part`` is 'head' where pictures are encoded by something else.
    """

    target: Target
    precision: Precision
    part: Part = 'full'
    source: str = Field(min_length=1)
    source_sha256: str = Field(pattern=r'^[0-9a-f]{64}$')
    parity: dict[str, Any] = Field(default_factory=dict)


class BundleConfig(Network):
    """A policy that is one exported graph; as training writes it, an ONNX graph."""

    state_size: int = Field(ge=1)
    files: BundleFiles
    export: Export | None = None

    @property
    def target(self) -> Target:
        """Return the kind of file that ``files.policy`` is."""
        return self.export.target if self.export else 'onnx'


class FamilyBundle(Network):
    """A member of the VLA family: what it learned, beside published backbones.

    ``family`` is its :class:`vla_nav.policies.config.FamilyConfig`; ``backbone_sha256`` is the
    fingerprint of the frozen weights that it was trained with.
    """

    architecture: Literal['family']
    files: FamilyFiles
    family: dict[str, Any]
    backbone_sha256: str = Field(pattern=r'^[0-9a-f]{64}$')


class Member(Strict):
    """A member of an ensemble: a bundle's directory, seen from the ensemble's, and its weight."""

    path: str = Field(min_length=1)
    weight: float = Field(ge=0, allow_inf_nan=False)


class EnsembleBundle(SavedPolicy):
    """Several policies that act together by weighted mean."""

    architecture: Literal['ensemble']
    members: tuple[Member, ...] = Field(min_length=1)
    training: dict[str, Any] = Field(default_factory=dict)

    @field_validator('members')
    @classmethod
    def _some_weight(cls, value: tuple[Member, ...]) -> tuple[Member, ...]:
        if sum(member.weight for member in value) <= 0:
            raise ValueError('all weights are 0; give at least one member a weight')
        return value


AnyBundle = BundleConfig | FamilyBundle | EnsembleBundle
_KINDS: dict[str, type[AnyBundle]] = {'family': FamilyBundle, 'ensemble': EnsembleBundle}


def load_config(directory: Path) -> BundleConfig:
    """Read the ``config.json`` of an ONNX bundle; raise PolicyError as :func:`read_bundle`."""
    config = read_bundle(directory)
    if not isinstance(config, BundleConfig):
        raise PolicyError(f'{directory / CONFIG_NAME}: architecture is {config.architecture!r}; '
                          'this needs a bundle with an ONNX graph, such as models/compact')
    return config


def read_bundle(directory: Path) -> AnyBundle:
    """Read and check a bundle's ``config.json``; raise PolicyError naming file, key and value."""
    data = read_saved(directory, 'policy', 'models/compact')
    kind: type[AnyBundle] = _KINDS.get(str(data.get('architecture')), BundleConfig)
    return validated(kind, data, directory)


def read_saved(directory: Path, kind: str, example: str) -> dict[str, Any]:
    """Return what ``config.json`` holds, of a format that is read here; raise PolicyError.

    ``kind`` of bundle and ``example`` of one are for the words of errors.
    """
    path = directory / CONFIG_NAME
    if not directory.is_dir():
        raise PolicyError(f'{directory}: no such {kind} bundle; give the directory that holds '
                          f'{CONFIG_NAME}, such as {example}')
    try:
        data = json.loads(path.read_text('utf-8'))
    except FileNotFoundError:
        raise PolicyError(f'{path}: missing; a {kind} bundle is a directory with {CONFIG_NAME} '
                          'and its ONNX files') from None
    except (OSError, ValueError) as error:
        raise PolicyError(f'{path}: cannot be read: {error}; copy the bundle again') from error
    version = data.get('format_version') if isinstance(data, dict) else None
    if version != FORMAT_VERSION:
        raise PolicyError(f'{path}: format_version is {version!r}, this vla_nav reads '
                          f'{FORMAT_VERSION}; export the bundle again or install a vla_nav that '
                          'reads it')
    return data  # type: ignore[no-any-return]


def validated(model: type[_Model], data: dict[str, Any], directory: Path) -> _Model:
    """Return ``data`` as ``model``; raise PolicyError naming file, key and value."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = '; '.join(
            f'{".".join(map(str, e["loc"])) or "the whole"} is {e["input"]!r:.80}: {e["msg"]}'
            for e in error.errors())
        raise PolicyError(f'{directory / CONFIG_NAME}: {problems}; correct the key or export the '
                          'bundle again') from None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file of any size, lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_file(directory: Path, file: BundleFile) -> Path:
    """Return a bundle file's path after its checksum was compared; raise PolicyError."""
    path = directory / file.name
    try:
        found = sha256_of(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    _compare(path, file, found)
    return path


def read_file(directory: Path, file: BundleFile) -> bytes:
    """Return a bundle file's content, the very bytes whose checksum was compared."""
    path = directory / file.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    _compare(path, file, hashlib.sha256(content).hexdigest())
    return content


def read_graph(directory: Path, file: BundleFile, weights: BundleFile | None) -> bytes | str:
    """Return what ONNX Runtime takes: a graph's bytes, or its path where weights lie beside."""
    if weights is None:
        return read_file(directory, file)
    check_file(directory, weights)
    return str(check_file(directory, file))


def _unreadable(path: Path, error: OSError) -> PolicyError:
    return PolicyError(f'{path}: cannot be read: {error}; copy the bundle again, complete '
                       '(with `git lfs pull` where it comes from Git LFS)')


def _compare(path: Path, file: BundleFile, found: str) -> None:
    if found != file.sha256:
        raise PolicyError(f'{path}: sha256 is {found}, {CONFIG_NAME} says {file.sha256}; the file '
                          'is damaged or from another export: copy the whole bundle again')
