import os
from xml.etree import ElementTree

import pytest

from vla_nav.bringup.dds import use_profile

VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


@pytest.fixture(autouse=True)
def _no_profile(monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, '')


def chosen(tag):
    tree = ElementTree.parse(os.environ[VARIABLES[0]])
    return [element for element in tree.iter() if element.tag.endswith(f'}}{tag}')]


@pytest.mark.parametrize('name', ['nodes', 'large_images'])
def test_a_process_is_announced_at_least_twice_a_second(name):
    use_profile(name)
    period, = chosen('leaseAnnouncement')
    assert {one.tag.split('}')[1]: int(one.text) for one in period} == {'nanosec': 500_000_000}


def test_a_publisher_of_pictures_has_room_for_several():
    use_profile('large_images')
    assert int(chosen('segment_size')[0].text) > 4 * 1280 * 720 * 3


@pytest.mark.parametrize('variable', VARIABLES)
def test_the_users_own_profile_wins(monkeypatch, variable):
    monkeypatch.setenv(variable, 'mine.xml')
    use_profile('nodes')
    assert [os.environ[name] for name in VARIABLES if os.environ[name]] == ['mine.xml']
