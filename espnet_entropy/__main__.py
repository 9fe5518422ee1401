"""``python -m espnet_entropy`` is the ``espnet-entropy`` command."""

from espnet_entropy.bin.main import entry

if __name__ == "__main__":
    entry()
