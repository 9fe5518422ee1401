"""What the tables of mistakes share."""

import socket
from types import SimpleNamespace

import pytest
import wrong_inputs as make


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    good, other = tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("other")
    make.make_model(good)
    make.make_model(other, seed=1)
    return good, other


@pytest.fixture
def w(models, tmp_path):
    """Where a row works: ``tmp`` is its own directory, ``good`` and ``other`` are models."""
    return SimpleNamespace(tmp=tmp_path, good=models[0], other=models[1])


@pytest.fixture
def connections(monkeypatch):
    """The hosts that were asked for; the network is shut."""
    asked = []

    def refuse(host, *args, **kwargs):
        asked.append(host)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked
