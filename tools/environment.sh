#!/bin/sh
# Make a virtual environment and install vla_nav with extras into it, all versions pinned:
#
#   tools/environment.sh VENV EXTRAS [REQUIREMENT...]
#
# for example `tools/environment.sh .venv cpu,ros,sim`. A sourced ROS 2 takes the place of the
# extra `ros`. What Debian keeps in packages of its own (venv, OpenGL) is installed by apt-get as
# root or with sudo; where neither is possible the exact command is printed.
set -eu

venv=$1 extras=$2
shift 2
python=${PYTHON:-python3}
cd "$(dirname "$0")/.."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "vla_nav needs Python 3.10 or newer; set PYTHON=/path/to/python3" >&2
    exit 1
}

apt_install() {
    if [ "$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi
    command -v apt-get > /dev/null && command -v ${as_root:-sh} > /dev/null &&
        $as_root apt-get update -qq && $as_root apt-get install -y -qq "$@" || {
        echo "Please install by hand: sudo apt-get install -y $*" >&2
        exit 1
    }
}

if [ ! -x "$venv/bin/pip" ]; then
    "$python" -c 'import ensurepip' 2> /dev/null ||
        apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    "$python" -m venv "$venv"
fi

if [ -n "${ROS_DISTRO:-}" ] && "$venv/bin/python" -c 'import rclpy' 2> /dev/null; then
    echo "Using the sourced ROS 2 $ROS_DISTRO."
    extras=$(echo ",$extras," | sed 's/,ros,/,/; s/^,//; s/,$//')
fi

# Bytecode is left to the first import: most modules are never imported.
pip="$venv/bin/python -m pip --disable-pip-version-check install --quiet --no-compile"
constraints=requirements/constraints.txt
case ",$extras," in
    # First and alone, so that nothing else chooses another build of it.
    *,train,*) $pip -c $constraints torch ;;
esac
$pip -c $constraints -e ".[$extras]" "$@"

case ",$extras," in
    *,detector,*) $pip --no-deps -r requirements/ultralytics.txt ;;
esac

case ",$extras," in
    *,sim,*)
        # Without PYTHONPATH's help, as the simulator will run later.
        "$venv/bin/python" -m vla_nav.simulation.gl --install > /dev/null ;;
esac
