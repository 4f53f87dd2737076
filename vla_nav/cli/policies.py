"""``vla-nav policies``: what members the VLA family has, and how large they are."""

from __future__ import annotations

import json
import resource
import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla_nav.policies.config import ConfigError, FamilyConfig, load_preset, presets

app = typer.Typer(no_args_is_help=True, help='Members of the VLA family.')

_Overrides = Annotated[list[str] | None, typer.Argument(
    metavar='[KEY=VALUE]...', help='Changes to the preset, such as head.hidden=1024.')]
# The stated head, and the one with which the published total can be right.
_VARIANTS = {'kosmos2_clip_hybrid': ['head.hidden=1024'],
             'simple_lstm_extended': ['head.hidden=1024']}


class Form(str, Enum):
    """How to print."""

    table = 'table'
    json = 'json'
    markdown = 'markdown'


@app.command('list')
def list_(
    form: Annotated[Form, typer.Option('--format', help='markdown gives docs/family.md.')]
    = Form.table,
) -> None:
    """Count the parameters of every preset at full size, by part."""
    from vla_nav.policies.counts import count, gigabytes, millions
    from vla_nav.policies.family_page import page

    configs = [config for name in presets() for config in _variants(name)]
    counted = [(count(config), config) for config in configs]
    if form is Form.json:
        typer.echo(json.dumps([{**counts.to_dict(), 'hidden': config.head.hidden}
                               for counts, config in counted], indent=1))
    elif form is Form.markdown:
        typer.echo(page(counted), nl=False)
    else:
        for counts, config in counted:
            table = Table('part', 'parameters', title=f'{counts.name} (head.hidden='
                          f'{config.head.hidden})', title_justify='left')
            table.columns[1].justify = 'right'
            for part, size in counts.parts.items():
                table.add_row(part, millions(size))
            table.add_section()
            table.add_row('total', millions(counts.total))
            table.add_row('learns', millions(counts.learns))
            table.add_row('weights in memory', gigabytes(counts.bytes))
            Console().print(table)


@app.command()
def forward(
    preset: Annotated[str, typer.Argument(help='A preset, or a YAML file.')],
    overrides: _Overrides = None,
    pretrained: Annotated[bool, typer.Option(
        '--pretrained', help='Load the published backbones; without, all weights are random.')]
    = False,
    steps: Annotated[int, typer.Option(min=1, help='Control steps to time.')] = 3,
    device: Annotated[str, typer.Option(help='cpu or cuda.')] = 'cpu',
) -> None:
    """Build a member at full size, run control steps of one picture, report time and memory.

    The first step reads the instruction; the others find its keys and values kept.
    """
    import numpy as np
    import torch

    from vla_nav.evaluation.provenance import provenance
    from vla_nav.language.intent import Intent
    from vla_nav.policies.family import FamilyPolicy, Instructions, WeightsError

    config = _load(preset, overrides)
    began = time.perf_counter()
    try:
        torch.manual_seed(0)
        policy = FamilyPolicy(config, 'pretrained' if pretrained else 'random')
        policy = policy.to(device).eval()
    except (WeightsError, RuntimeError) as error:
        raise _problem(str(error)) from error
    built = time.perf_counter() - began
    intent = Intent('left', 'cup', 'red')
    told = Instructions((intent.describe(),),
                        torch.from_numpy(intent.features())[None]).to(device)
    b = config.backbone
    picture = torch.randint(0, 256, (1, b.height, b.width, 3), dtype=torch.uint8, device=device)
    state = policy.initial_state(1)
    seconds, finite = [], True
    with torch.inference_mode():
        for _ in range(steps + 1):
            began = time.perf_counter()
            chunk, _, state = policy(picture, told, state)
            # Fetching the numbers waits for the device.
            finite = finite and bool(torch.isfinite(chunk.cpu()).all())
            seconds.append(time.perf_counter() - began)
    report = {
        'preset': config.name, 'device': device, 'weights': 'pretrained' if pretrained
        else 'random', 'parameters': sum(p.numel() for p in policy.parameters()),
        'weights_gib': round(sum(p.numel() * p.element_size()
                                 for p in policy.parameters()) / 2**30, 2),
        'build_s': round(built, 1), 'first_step_s': round(seconds[0], 4), 'steps': steps,
        'p50_ms': round(1e3 * float(np.percentile(seconds[1:], 50)), 2),
        'p99_ms': round(1e3 * float(np.percentile(seconds[1:], 99)), 2),
        'threads': torch.get_num_threads(), 'finite': finite,
        'peak_memory_gib': round(_peak_gib(device), 2), **provenance()}
    typer.echo(json.dumps(report, indent=1))
    if not finite:
        raise typer.Exit(1)


@app.command()
def sample(
    preset: Annotated[str, typer.Argument(help='A preset with published backbones.')],
    out: Annotated[Path, typer.Option(metavar='DIR', help='New folder of the bundle; its '
                                      'backbones lie there too.')],
    overrides: _Overrides = None,
    layers: Annotated[int, typer.Option(min=1, help='Layers of each tower.')] = 6,
) -> None:
    """Write a member of full width and few layers, with random weights, to try exports on."""
    from vla_nav.cli.train import shipped_reader
    from vla_nav.policies.sample import write_sample
    if out.exists():
        raise _problem(f'{out} exists already; choose another --out, or remove it')
    try:
        config = write_sample(preset, overrides or [], layers, shipped_reader(), out)
    except ConfigError as error:
        raise _problem(str(error)) from error
    Console().print(f'{out}: {config.name}, {layers} layers a tower, random weights',
                    markup=False, soft_wrap=True)


def _peak_gib(device: str) -> float:
    if device.startswith('cuda'):
        import torch
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _variants(name: str) -> list[FamilyConfig]:
    variants = [load_preset(name)]
    if name in _VARIANTS:
        variants.append(load_preset(name, _VARIANTS[name]))
    return variants


def _load(preset: str, overrides: list[str] | None) -> FamilyConfig:
    try:
        return load_preset(Path(preset) if preset.endswith(('.yaml', '.yml')) else preset,
                           overrides)
    except ConfigError as error:
        raise _problem(str(error)) from error


def _problem(text: str) -> typer.Exit:
    Console(stderr=True).print(f'[red]error:[/] {escape(text)}', soft_wrap=True)
    return typer.Exit(1)
