#!/bin/sh
# Evaluate on a Ray cluster of two workers on this machine and without it, and compare:
#
#   tools/check_ray.sh VENV [POLICY]      (POLICY is models/compact by default)
#
# The cluster runs a small suite and a few bags; one of its workers is killed, then the run itself,
# which the same command takes up again. Pages and figures must be those of local processes. About
# 1 GB in an environment of its own, made by the first call, and a few minutes; not part of
# `make test`.
set -eu

venv=$1 policy=${2:-models/compact}
cd "$(dirname "$0")/.."
if [ ! -x "$venv/bin/ray" ]; then
    tools/environment.sh "$venv" cpu,sim,cluster
fi
PYTHONPATH="$PWD:$PWD/test" "$venv/bin/python" tools/check_ray.py "$policy"
