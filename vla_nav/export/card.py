"""The card of an exported bundle: what it is, and how equal it was found to be."""

from __future__ import annotations

import json
from pathlib import Path

from vla_nav.runtimes.bundle import CONFIG_NAME, BundleConfig

_CARD = """# {name}, exported to {target} in {precision}

Made from the bundle "{source}" (weights `{sha256}`){head}.

| file | bytes |
|---|---|
{files}

Measured when it was made, against the source in PyTorch:

    {parity}

`actions`, `arrived` and `next_state` were compared over {inputs} fresh inputs in runs of {steps}
steps, each side with its own memory. `mae` is of the velocity driven at once, on drives that
nothing was calibrated on. An export above its bound is not kept.
"""


def write_card(directory: Path, config: BundleConfig) -> None:
    """Write ``README.md``."""
    made = config.export
    assert made is not None
    files = sorted(path for path in directory.iterdir() if path.name != CONFIG_NAME)
    (directory / 'README.md').write_text(_CARD.format(
        name=config.name, target=made.target, precision=made.precision, source=made.source,
        sha256=made.source_sha256[:12],
        head='; only what is behind the encoder' if made.part == 'head' else '',
        files='\n'.join(f'| `{path.name}` | {path.stat().st_size:,} |' for path in files),
        parity=json.dumps(made.parity, indent=1).replace('\n', '\n    '),
        inputs=made.parity['inputs'], steps=made.parity['steps']), 'utf-8')
