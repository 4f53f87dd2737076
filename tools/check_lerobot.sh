#!/bin/sh
# Load what vla_nav writes with the lerobot package itself, in an environment of its own:
#
#   tools/check_lerobot.sh VENV [PYTHON]      (PYTHON has vla_nav and pyarrow; python3 by default)
#
# lerobot pins an older torch, whose wheels bring several GB of CUDA, and wants tools for robot arms.
# Reading a dataset needs neither, so the package comes without its dependencies, and what its
# dataset module imports comes from here. About 1.7 GB and a few minutes the first time; not part
# of `make test`.
set -eu

venv=$1 python=${2:-python3}
cd "$(dirname "$0")/.."
if [ ! -x "$venv/bin/pip" ]; then
    "$python" -m venv "$venv"
fi
pip="$venv/bin/python -m pip --disable-pip-version-check install --quiet"
$pip torch==2.13.0
$pip --no-deps lerobot==0.4.4 torchvision==0.28.0
$pip 'datasets>=4,<5' 'huggingface-hub>=0.34.2,<0.36' 'av>=15,<16' jsonlines einops draccus==0.10.0 \
    'deepdiff<9' termcolor pillow pandas 'packaging<26' imageio accelerate 'numpy<2.3' \
    'opencv-python-headless<4.13' gymnasium

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" tools/check_lerobot.py write "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work/home" "$venv/bin/python" tools/check_lerobot.py load "$work"
