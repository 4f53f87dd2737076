"""ROS parameters from a pydantic model: one definition declares, describes and validates them.

Each field becomes a parameter of its name, with its default, description and range (``ge`` or
``gt``, and ``le`` or ``lt``); a field with ``json_schema_extra={'read_only': True}`` cannot be
set while running.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

Model = TypeVar('Model', bound=BaseModel)


class ParameterError(ValueError):
    """A node cannot start with the parameters that it was given."""


class Parameters(Generic[Model]):
    """The parameters of a node, always valid as a whole; ``value`` is the model.

    A node must not keep it as ``self._parameters``: rclpy has its own under that name.
    """

    def __init__(self, node: Node, model: type[Model]) -> None:
        """Declare everything on ``node``; raise ParameterError naming key, value and remedy."""
        self._node = node
        self._model = model
        self._apply: Callable[[Model], None] = lambda value: None
        found = {}
        for name, field in model.model_fields.items():
            try:
                found[name] = node.declare_parameter(
                    name, _ros_value(field.default), _descriptor(field)).value
            except ParameterException as error:
                raise ParameterError(f'{node.get_fully_qualified_name()}: {error} '
                                     f'({field.description})') from None
        try:
            self.value: Model = model.model_validate(found)
        except ValidationError as error:
            raise ParameterError(
                f'{node.get_fully_qualified_name()}: {_explain(error)}') from None
        node.add_on_set_parameters_callback(self._on_set)

    def on_change(self, apply: Callable[[Model], None]) -> None:
        """Call ``apply`` with the new model after a valid change; ValueError refuses it."""
        self._apply = apply

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        # Validate everything before anything is applied.
        known = {change.name: change.value for change in changes
                 if change.name in self._model.model_fields}
        if not known:
            return SetParametersResult(successful=True)
        try:
            value = self._model.model_validate({**self.value.model_dump(), **known})
            self._apply(value)
        except ValidationError as error:
            return SetParametersResult(successful=False, reason=_explain(error))
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self.value = value
        return SetParametersResult(successful=True)


def _descriptor(field: FieldInfo) -> ParameterDescriptor:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    descriptor = ParameterDescriptor(description=field.description or '',
                                     read_only=bool(extra.get('read_only')))
    # A ROS range includes its ends; where a field excludes one, the model refuses it later.
    low, high = _bound(field, 'ge', 'gt'), _bound(field, 'le', 'lt')
    if low is not None and high is not None and field.annotation is float:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))]
    elif low is not None and high is not None and field.annotation is int:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor


def _bound(field: FieldInfo, *kinds: str) -> float | None:
    return next((getattr(item, kind) for item in field.metadata for kind in kinds
                 if getattr(item, kind, None) is not None), None)


def _ros_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _explain(error: ValidationError) -> str:
    return '; '.join(
        f'{".".join(map(str, item["loc"])) or "parameters"}: {item["msg"]}'
        + (f', got {item["input"]!r}' if item['loc'] else '') for item in error.errors())
