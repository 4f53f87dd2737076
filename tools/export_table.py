"""Print the table of exports in docs/deployment.md: every policy, to every target, as measured.

    python tools/export_table.py [MEMBER…]

Members of the family are in their tiny form with random weights, as in the tests; compact and
track are as they are shipped. Takes about ten minutes on an idle machine.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / 'test'))

import exports  # noqa: E402

from vla_nav.contracts import PolicyError  # noqa: E402
from vla_nav.export import write  # noqa: E402
from vla_nav.export.gate import BOUNDS, NotEqual  # noqa: E402
from vla_nav.export.write import Order, export  # noqa: E402
from vla_nav.runtimes.bundle import Precision, Target, load_config  # noqa: E402

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
TARGETS: tuple[Target, ...] = get_args(Target)


def cell(source: Path, out: Path, order: Order) -> str:
    """Return the largest difference of an export and its bytes, or that there is none."""
    if order.precision in ('bf16', 'int8'):
        # Labels that are the source's own velocities, shifted: fresh inputs to judge errors by.
        shown = exports.drive(source, 0.2, exports.sentence(source))
        write.calibration_drives = write.validation_drives = lambda *_: iter([shown])
    try:
        config = export(source, out, order)
    except NotEqual as error:
        return f'refused: {error}'
    except PolicyError as error:
        if 'choose another precision or target' not in str(error):
            raise
        return '–'
    assert config.export is not None
    worst = max(config.export.parity['max_abs_difference'].values())
    size = sum(path.stat().st_size for path in out.iterdir()
               if path.name.startswith(('policy.', 'text.')))
    return f'{worst:.0e}, {size:,}'


def main(names: Sequence[str]) -> None:
    """Print the table for some members, or for all."""
    print(f'| policy | target | {" | ".join(PRECISIONS)} |')
    print('|---|---|' + '---|' * len(PRECISIONS))
    with tempfile.TemporaryDirectory() as folder:
        members = exports.write_members(Path(folder))
        members |= {load_config(path).architecture: path
                    for path in (ROOT / 'models' / 'compact', ROOT / 'models' / 'tub')}
        for name in names or members:
            for target in TARGETS:
                cells = [cell(members[name], Path(folder) / f'{name}-{target}-{precision}',
                              Order(target, precision, episodes=0,
                                    drives=int(precision not in BOUNDS),
                                    recordings=Path('shown')))
                         for precision in PRECISIONS]
                print(f'| `{name}` | {target} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
