"""The page of the tub study: a table with a command for each row, JSON, and a picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_nav.evaluation.markdown import table_lines
from vla_nav.evaluation.provenance import provenance
from vla_nav.training.tub.frames import GAP, PHRASES
from vla_nav.training.tub.members import Recipe

MUST_BEAT = ('ridge', 'ridge_mirrored', 'constant_mean', 'constant_median')
_NAMES = {'policy': 'policy', 'ridge': 'ridge', 'ridge_mirrored': 'ridge, mirrored',
          'constant_mean': 'mean', 'constant_median': 'median',
          'previous_action': 'previous action'}
# From this step on a chunk must be better than holding the action of its first step.
EIGHTH = 8

_PAGE = """# The donkeycar tub

{frames:,} frames of a person driving a small car round a track at 20 Hz. The track policy
(`vla_nav/policies/track.py`) sees pictures only, no past action. Made by

    vla-nav evaluate tub --tub {tub} --seed {seed}

Blocked {folds}-fold: each fold is tested on {block} frames in a row and trained on the rest, with
{gap} frames left out on either side. Sizes of the networks, augmentation, updates, smoothing, the
strengths of the linear map, and how far each axis leaves the median are tuned on {inner} such
blocks inside the training frames. The ridge regressions on histograms of oriented gradients have
their strength tuned on the same blocks, for each axis.
{chosen}

## The action that is due

Mean absolute error in the tub's units (steering and throttle from -1 to 1), mean of both axes.
The previous action is no rival: it needs the driver's hand, which the policy does not see.
The form of the policy was chosen with an eye on this tub (above): on other recordings the
distance to ridge regression may be smaller.

{joint}

Steering / throttle:

{axes}

- Below ridge regression in {below_ridge} of {folds} folds; below the one that also trains on
  mirrored pictures in {below_mirrored}.
- Below both constants in {below_constants} of {folds} folds.
- The throttle follows the driver's mood more than the picture: below the median in
  {below_throttle} of {folds} folds.

## The actions that follow

Mean absolute error of both axes at each step of the chunk, all folds. *Hold* is the driver's own
action at the first step, held: perfect there, and known to the driver only.

{chunk}

From the eighth step on the policy is better than holding in {chunk_folds} of {folds} folds.

## What was tuned

{tuned}

![Steering and throttle, driven and predicted](images/tub.png)

## The bundle

    vla-nav train tub --tub {tub} --out models/tub

`models/tub` is trained by the same recipe on all frames, so no figure above is of its weights.
Throttle becomes `linear_x` (full: 0.6 m/s), steering `angular_z` (full: 1.2 rad/s); donkeycar's
steering is + to the right, REP 103's turn + to the left, so the sign changes. It knows one task
and no language: it takes {phrases}, and refuses any other
text, because a policy without an ear would carry on whatever it is told. The tub as a bag, through
policy and guard as a robot would live through it: [own-robot.md](own-robot.md), step 5.
"""

_CHOSEN = """No number is tuned on frames that it is tested on. What no fold can hide: the policy's
form (fixed gradients, small networks beside a linear map) was chosen with an eye on this tub, as
were the values to choose between. A first form, whose linear map took left and right alike, was
measured on folds 1, 4 and 5 and was no better than ridge regression there."""


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return in how many folds the policy is below what it must beat, and the mean errors."""
    def below(name: str, axis: str = 'both') -> int:
        return sum(r['mae']['policy'][axis] < r['mae'][name][axis] for r in results)

    return {
        'folds': len(results),
        'below': {name: below(name) for name in MUST_BEAT},
        'below_constants': sum(all(r['mae']['policy']['both'] < r['mae'][name]['both']
                                   for name in ('constant_mean', 'constant_median'))
                               for r in results),
        'below_throttle': below('constant_median', 'throttle'),
        'chunk_below_hold_from_the_eighth': sum(_beats_hold(r) for r in results),
        'mae': {name: {axis: sum(r['mae'][name][axis] for r in results) / len(results)
                       for axis in ('steering', 'throttle', 'both')} for name in _NAMES},
        'chunk': {name: _mean([r['chunk'][name] for r in results])
                  for name in ('policy', 'hold', 'constant_median')},
    }


def write_report(results: list[dict[str, Any]], recipe: Recipe, tub: str, out: Path) -> Path:
    """Write ``tub.md``, ``tub.json`` and ``images/tub.png``; return the page's path."""
    (out / 'images').mkdir(parents=True, exist_ok=True)
    summary = summarise(results)
    kept = [{k: v for k, v in r.items() if k not in ('predicted', 'driven', 'stamp', 'made')}
            for r in results]
    of = provenance(r.get('made', '') for r in results)
    (out / 'tub.json').write_text(json.dumps(
        {**of, 'summary': summary, 'recipe': asdict(recipe), 'folds': kept},
        indent=1) + '\n', 'utf-8')
    _plot(results, summary, out / 'images' / 'tub.png')
    page = out / 'tub.md'
    page.write_text(_page(results, summary, recipe, tub), 'utf-8')
    return page


def _page(results: list[dict[str, Any]], summary: dict[str, Any], recipe: Recipe,
          tub: str) -> str:
    def command(result: dict[str, Any]) -> str:
        return f'`vla-nav evaluate tub --tub {tub} --fold {result["fold"]}`'

    means = summary['mae']
    joint = [[r['fold'], f'{r["test"][0]}–{r["test"][1]}',
              *(f'{r["mae"][name]["both"]:.4f}' for name in _NAMES), command(r)] for r in results]
    joint.append(['mean', '', *(f'{means[name]["both"]:.4f}' for name in _NAMES), ''])
    axes = [[r['fold'], *(_pair(r['mae'][name]) for name in _NAMES)] for r in results]
    axes.append(['mean', *(_pair(means[name]) for name in _NAMES)])
    chunk = [[k + 1, *(f'{summary["chunk"][name][k]:.4f}'
                       for name in ('policy', 'hold', 'constant_median'))]
             for k in range(recipe.network.chunk)]
    tuned = [[r['fold'], f'{t["form"]["channels"]}, {t["form"]["hidden"]}',
              t['form']['augmentation'], t['steps'], t['smoothing'],
              ' / '.join(map(str, t['gains'][::-1])), f'{t["inner_mae"]:.4f}']
             for r in results for t in (r['tuned'],)]
    first = results[0]['test']
    return _PAGE.format(
        frames=results[-1]['test'][1] + 1, tub=tub, seed=recipe.seed, folds=len(results),
        block=first[1] - first[0] + 1, gap=GAP, inner=recipe.inner, chosen=_CHOSEN,
        joint=_table(['fold', 'test frames', *_NAMES.values(), 'command'], joint),
        axes=_table(['fold', *_NAMES.values()], axes),
        chunk=_table(['step', 'policy', 'hold', 'median'], chunk),
        tuned=_table(['fold', 'channels, hidden', 'augmentation', 'updates', 'smoothing',
                      'gain of steering / throttle', 'inner error'], tuned),
        below_ridge=summary['below']['ridge'], below_mirrored=summary['below']['ridge_mirrored'],
        below_constants=summary['below_constants'], below_throttle=summary['below_throttle'],
        chunk_folds=summary['chunk_below_hold_from_the_eighth'],
        phrases=', '.join(f'"{phrase}"' for phrase in PHRASES))


def _beats_hold(result: dict[str, Any]) -> bool:
    chunk = result['chunk']
    return all(ours < held for ours, held in
               zip(chunk['policy'][EIGHTH - 1:], chunk['hold'][EIGHTH - 1:]))


def _mean(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*rows)]


def _pair(errors: dict[str, float]) -> str:
    return f'{errors["steering"]:.3f} / {errors["throttle"]:.3f}'


def _table(titles: list[str], rows: list[list[Any]]) -> str:
    return '\n'.join(table_lines(titles, rows))


def _plot(results: list[dict[str, Any]], summary: dict[str, Any], path: Path) -> None:
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    figure = plt.figure(figsize=(12, 8), layout='constrained')
    rows = figure.subplot_mosaic([['steering'] * 2, ['throttle'] * 2, ['folds', 'chunk']])
    # Donkeycar's sign: + to the right.
    for name, axis, sign in (('steering', 1, -1), ('throttle', 0, 1)):
        for result in results:
            frames = range(result['test'][0], result['test'][1] + 1)
            for key, colour, width in (('driven', '0.55', 2.0), ('predicted', 'C0', 1.0)):
                rows[name].plot(frames, [sign * value[axis] for value in result[key]], colour,
                                lw=width, label=key if result is results[0] else None)
            rows[name].axvline(result['test'][0], color='0.85', lw=0.8, zorder=0)
        rows[name].set(title=name + ' of frames that were not trained on', xlabel='frame',
                       xlim=(0, results[-1]['test'][1]))
        rows[name].legend(loc='lower right')
    for place, name in enumerate(('policy', *MUST_BEAT)):
        rows['folds'].bar([r['fold'] + 0.16 * (place - 2) for r in results],
                          [r['mae'][name]['both'] for r in results], 0.16, label=_NAMES[name])
    rows['folds'].set(title='mean absolute error, both axes', xlabel='fold')
    rows['folds'].legend(fontsize='small')
    for name, label in (('policy', 'policy'), ('hold', 'hold'), ('constant_median', 'median')):
        errors = summary['chunk'][name]
        rows['chunk'].plot(range(1, len(errors) + 1), errors, marker='.', label=label)
    rows['chunk'].axvline(EIGHTH, color='0.85', zorder=0)
    rows['chunk'].set(title='error by step of the chunk, both axes', xlabel='step', ylim=(0, None))
    rows['chunk'].legend()
    figure.savefig(path, dpi=90)
    plt.close(figure)
