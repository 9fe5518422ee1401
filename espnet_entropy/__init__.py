"""Entropy-based compression of speech units for ESPnet (arXiv 2509.00503).

``import espnet_entropy`` is light: torch, transformers and ESPnet are imported
by the modules that need them, when they are needed.
"""

__version__ = "0.1.0"
