"""What our pages have in common: one HTML file each, out of a Jinja template and pictures."""

from __future__ import annotations

import base64
from typing import Any

import jinja2

# How a template begins that takes ``title``; it goes on within the style.
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; color: #24323d; background: #f6f8f9;
         max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2rem }"""
# The style of tables of figures, with plots below them.
FIGURES = """
  table { border-collapse: collapse; background: #fff; border: 1px solid #dde4e8 }
  th, td { padding: 3px 12px; text-align: right; border-top: 1px solid #eef2f4 }
  th:first-child, td:first-child { text-align: left } .dim { color: #5d6d78 }
  img { max-width: 100%; background: #fff; border: 1px solid #dde4e8; margin-top: 8px }
  .worse { color: #a33 }"""


def render(template: str, **values: Any) -> str:
    """Return the page; values are escaped, and one that is missing raises."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(**values)


def inline(content: bytes | None, kind: str = 'image/png') -> str:
    """Return a picture or a film as a source within the page; '' where there is none."""
    return f'data:{kind};base64,' + base64.b64encode(content).decode('ascii') if content else ''
