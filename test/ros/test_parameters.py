from __future__ import annotations

from typing import Literal

import pytest
import rclpy
from pydantic import BaseModel, Field, model_validator
from rclpy.parameter import Parameter

from vla_nav.nodes.parameters import ParameterError, Parameters


class Settings(BaseModel):
    low: float = Field(default=1.0, gt=0.0, le=5.0, description='The lower one.')
    high: float = Field(default=2.0, ge=0.0, le=5.0, description='The higher one.')
    count: int = Field(default=3, ge=1, le=9, description='How many.')
    axes: tuple[float, float] = Field(default=(0.1, 0.2), description='Two of them.')
    mode: Literal['a', 'b'] = Field(default='a', description='a or b.',
                                    json_schema_extra={'read_only': True})

    @model_validator(mode='after')
    def _in_order(self):
        if self.low > self.high:
            raise ValueError('low is above high')
        return self


@pytest.fixture
def node(ros):
    node = rclpy.create_node('with_parameters')
    yield node
    node.destroy_node()


def set_all(node, **values):
    return node.set_parameters_atomically([Parameter(k, value=v) for k, v in values.items()])


def test_one_model_declares_describes_and_gives_ranges(node):
    parameters = Parameters(node, Settings)
    assert parameters.value == Settings()
    low = node.describe_parameter('low')
    assert low.description == 'The lower one.'
    assert (low.floating_point_range[0].from_value, low.floating_point_range[0].to_value) == (0, 5)
    assert node.describe_parameter('count').integer_range[0].to_value == 9
    assert node.describe_parameter('mode').read_only and not low.read_only


def test_changes_are_validated_as_a_whole_before_they_are_applied(node):
    applied = []
    parameters = Parameters(node, Settings)
    parameters.on_change(applied.append)
    assert not set_all(node, low=3.0).successful and not applied
    assert set_all(node, low=3.0, high=4.0).successful
    assert applied[-1] == parameters.value and parameters.value.low == 3.0
    assert not set_all(node, axes=[1.0, 2.0, 3.0]).successful
    assert not set_all(node, mode='b').successful
    assert not set_all(node, low=0.0).successful  # inside of the ROS range, but excluded
    assert len(applied) == 1


def test_whoever_applies_a_change_may_refuse_it(node):
    def refuse(value):
        raise ValueError('not now')
    parameters = Parameters(node, Settings)
    parameters.on_change(refuse)
    result = set_all(node, count=4)
    assert not result.successful and result.reason == 'not now'
    assert parameters.value.count == 3


@pytest.mark.parametrize(('given', 'match'), [
    ({'low': 7.0}, 'low'), ({'count': 'many'}, 'count'), ({'mode': 'c'}, 'mode'),
    ({'low': 4.0, 'high': 3.0}, 'low is above high')])
def test_a_bad_start_names_the_parameter(ros, given, match):
    node = rclpy.create_node('badly_started', parameter_overrides=[
        Parameter(name, value=value) for name, value in given.items()])
    with pytest.raises(ParameterError, match=match):
        Parameters(node, Settings)
    node.destroy_node()
