"""The parameters of nodes that give a camera's pictures to a network."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

READ_ONLY: Any = {'read_only': True}


class SeeingParameters(BaseModel):
    """How pictures come, and where the network runs."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    autostart: bool = Field(True, description='Configure and activate at once, also after a '
                            'respawn.', json_schema_extra=READ_ONLY)
    provider: Literal['auto', 'tensorrt', 'cuda', 'openvino', 'cpu'] = Field(
        'auto', description='Where the network runs: auto, tensorrt, cuda, openvino or cpu.',
        json_schema_extra=READ_ONLY)
    threads: int = Field(1, ge=1, le=64, description='CPU threads of the network.',
                         json_schema_extra=READ_ONLY)
    image_transport: Literal['raw', 'compressed'] = Field(
        'raw', description='raw or compressed.', json_schema_extra=READ_ONLY)
    decoder: Literal['auto', 'cv_bridge', 'numpy'] = Field(
        'auto', description='What decodes raw images: cv_bridge, numpy, or auto.',
        json_schema_extra=READ_ONLY)
    stamp_source: Literal['header', 'arrival'] = Field(
        'header', description="Stamp of a picture: the camera's header, or the time of arrival "
        'for a camera whose clock is off.', json_schema_extra=READ_ONLY)
