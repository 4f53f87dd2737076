"""Each optimisation is measured off and on, and what this machine cannot do is said."""

from __future__ import annotations

import pytest
import torch

from vla_nav.evaluation import ablation, ablation_training
from vla_nav.evaluation.ablation import PAIRS, Plan, measure
from vla_nav.evaluation.ablation_page import COLUMNS, cells, markdown, plot
from vla_nav.evaluation.ablation_training import CHECKPOINTED, MIXED, PLAIN, TrainingStep
from vla_nav.policies.config import load_preset

TINY = ['head.hidden=16', 'head.layers=1', 'fusion.size=16', 'action.chunk=2',
        'head.predictor=[16]', 'head.window_s=0.4', 'train.batch=2', 'backbone.height=32',
        'backbone.width=32', 'backbone.small_vlm.width=16', 'backbone.small_vlm.depth=1',
        'backbone.small_conv.feature=16', 'backbone.resampler.queries=2']


def test_every_optimisation_is_off_and_on_in_one_table(monkeypatch):
    grown = {PLAIN: 80.0, MIXED: 60.0, CHECKPOINTED: 40.0}
    monkeypatch.setattr(ablation, '_memory', lambda preset, words, name, *rest: grown[name])
    noted = []
    result = measure('hybrid_small', TINY, Plan(2, 1, 1), lambda done, of: noted.append(
        (done, of)))
    assert noted == [(done, 5) for done in range(1, 6)]
    measured = {(row['optimisation'], row['work']): row for row in result['rows']}
    assert len(measured) + len(result['not_measured']) == len(PAIRS)
    assert all(row['times_faster'] == pytest.approx(row['off_ms']['p50'] / row['on_ms']['p50'])
               for row in result['rows'])
    assert measured['gradient checkpointing', 'training step']['times_less'] == 2.0
    assert measured['TorchScript', 'control step']['times_less'] is None
    if not torch.cuda.is_available():
        assert 'cuDNN benchmark, training step' in result['not_measured']
    assert all(len(cells(row)) == len(COLUMNS) for row in result['rows'])
    assert plot(result).startswith(b'\x89PNG')
    page = markdown(result)
    assert page.count('\n| ') == len(result['rows']) and 'GPU' in page


def test_the_ways_to_make_a_step_teach_the_same():
    torch.set_num_threads(1)
    config = load_preset('hybrid_small', [*TINY, 'head.dropout=0.0'])
    weights = {}
    for how in (PLAIN, MIXED, CHECKPOINTED):
        step = TrainingStep(config, 'cpu', how)
        before = [p.detach().clone() for p in step._model.parameters()]
        step()
        weights[how] = torch.cat([(p.detach() - b).flatten() for p, b in zip(
            step._model.parameters(), before)])
    assert weights[PLAIN].abs().max() > 0
    torch.testing.assert_close(weights[CHECKPOINTED], weights[PLAIN], rtol=0, atol=1e-5)
    # AdamW's first step is the gradient's sign: in bfloat16 some small ones turn.
    assert (weights[MIXED].sign() == weights[PLAIN].sign()).float().mean() > 0.8


def test_a_fresh_process_says_how_much_it_grows(capsys):
    ablation_training.main('hybrid_small', PLAIN, '1', *TINY)
    assert '"grown_mb"' in capsys.readouterr().out
