"""Package description, read by pip and by colcon's ament_python build alike."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'vla_nav'
SHARED = ('launch', 'config', 'models')


def data_files():
    """List what an ament package installs beside its modules, as (directory, files)."""
    files = [
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        # `ros2 launch` looks for a node's executable here, whichever tool has installed it.
        (f'lib/{NAME}', sorted(str(path) for path in Path('scripts').iterdir())),
    ]
    for root in SHARED:
        for directory in sorted({path.parent for path in Path(root).rglob('*.*')}):
            found = sorted(str(path) for path in directory.iterdir() if path.is_file()
                           and path.suffix != '.pyc')
            if found:
                files.append((f'share/{NAME}/{directory}', found))
    return files


SIM = ['mujoco>=3.2', 'gymnasium>=1.0', 'scipy', 'av', 'rosbags', 'h5py', 'matplotlib', 'jinja2',
       'backports.zstd; python_version < "3.14"']  # as rosbags itself has it
TRAIN = ['torch', 'onnx', 'onnxscript', 'safetensors', 'h5py', 'matplotlib', 'transformers>=5',
         'accelerate', 'peft', 'tensorboard', 'scipy', 'jinja2', 'pyarrow']

setup(
    name=NAME,
    version='0.1.0',
    description='Vision-Language-Action navigation for mobile robots on ROS 2',
    maintainer='vla_nav maintainers',
    maintainer_email='maintainers@vla-nav.org',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed']},
    data_files=data_files(),
    zip_safe=False,
    install_requires=[
        'numpy', 'opencv-python-headless', 'pydantic>=2', 'PyYAML', 'rich', 'typer',
    ],
    extras_require={
        # cpu and gpu own the same module: install exactly one of them.
        'cpu': ['onnxruntime'],
        'gpu': ['onnxruntime-gpu'],
        # Another runtime for processors; an OpenVINO bundle needs it.
        'openvino': ['openvino'],
        # For machines without ROS 2. A sourced ROS 2 comes first on PYTHONPATH and wins.
        # Jazzy is the long-term release; requirements/kilted.txt is the other one tested.
        'ros': ['ros-rclpy[fastrtps]==7.1.6', 'ros-common-interfaces<5.4'],
        'sim': SIM,
        'monitor': ['rerun-sdk'],
        # For `evaluate closed-loop --ray-address` on several machines.
        'cluster': ['ray'],
        'train': TRAIN,
        # Beside `train`, and beside requirements/ultralytics.txt, installed with --no-deps.
        'detector': ['matplotlib', 'pillow', 'polars', 'psutil', 'requests', 'scipy'],
        # PyQt6-WebEngine is the one Chromium on PyPI; it opens the monitor's page.
        'test': ['openvino', 'pytest<9', 'pytest-timeout', 'pytest-xdist', 'hypothesis', 'ruff',
                 'mypy', 'flake8', 'types-PyYAML', 'catkin_pkg', 'setuptools', 'wheel',
                 'rerun-sdk', 'PyQt6-WebEngine'],
    },
    entry_points={'console_scripts': ['vla-nav = vla_nav.cli.main:main']},
)
