"""What in a simulated scene has a class, and which of the model's geoms it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from vla_nav.simulation.world import World

# The order is the number in label files: append, never insert.
CLASSES = ('box', 'cup', 'bottle', 'cone', 'ball', 'thing', 'pylon', 'person')

# A barrier is a long box, and its end looks like one. Walls have no class.
_CLASS_OF_ROLE = {'box': 'box', 'barrier': 'box'}


@dataclass(frozen=True)
class LabelledThing:
    """One thing of the loaded scene: its number in ``CLASSES`` and its geoms in the model."""

    class_id: int
    geoms: tuple[int, ...]


def labelled_things(world: World) -> list[LabelledThing]:
    """Return all that has a class in the scene that ``world`` has loaded, seen or not."""
    scene = world.scenario
    assert scene is not None, 'load a scenario first'
    named = [(f'block{i}', _CLASS_OF_ROLE[block.role]) for i, block in enumerate(scene.blocks)
             if block.role in _CLASS_OF_ROLE]
    named += [(f'object{i}_{thing.shape}', thing.kind) for i, thing in enumerate(scene.objects)]
    if scene.landmark:
        named.append(('landmark', 'pylon'))
    if scene.person:
        named.append(('person', 'person'))
    things = []
    for name, kind in named:
        body = world.model.body(name)
        first, count = int(body.geomadr[0]), int(body.geomnum[0])
        things.append(LabelledThing(CLASSES.index(kind), tuple(range(first, first + count))))
    return things
