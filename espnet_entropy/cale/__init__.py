"""Groups of units as vectors: CALE and the pooling baselines (paper section 3.4, NOTES 4 and 6).

``CALE(config, num_units)`` and ``GroupPooling(config, num_units)`` map padded units and group ids
to one vector per group. :mod:`.attention` has the segment attention beneath them, usable alone.
"""

from espnet_entropy.cale.config import CaleConfig, PoolingConfig
from espnet_entropy.cale.encoder import CALE
from espnet_entropy.cale.pooling import GroupPooling

__all__ = ["CALE", "CaleConfig", "GroupPooling", "PoolingConfig"]
