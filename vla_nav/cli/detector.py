"""``vla-nav detector``: from pictures to a detector that an NPU can run."""

from __future__ import annotations

import typer

from vla_nav.cli.detector_compare import compare
from vla_nav.cli.detector_dataset import dataset, lint
from vla_nav.cli.detector_detect import detect
from vla_nav.cli.detector_export import export, verify
from vla_nav.cli.detector_npu import auto, compile_command, tools
from vla_nav.cli.detector_study import study
from vla_nav.cli.detector_train import train

app = typer.Typer(no_args_is_help=True, help='Train, export and compare detectors for NPUs.')
app.command('dataset')(dataset)
app.command('lint')(lint)
app.command('train')(train)
app.command('export')(export)
app.command('verify')(verify)
app.command('compare')(compare)
app.command('study')(study)
app.command('tools')(tools)
app.command('compile')(compile_command)
app.command('auto')(auto)
app.command('detect')(detect)


@app.callback()
def _group() -> None:
    """Keep the group a group while it has one command."""
