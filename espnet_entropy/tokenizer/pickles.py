"""Reading public k-means files (``km.bin``) without executing anything in them.

They are pickles of scikit-learn estimators, written by joblib (arrays follow their wrapper in
the file, the whole possibly compressed) or by pickle itself. A pickle is a program: it may
call any function that it can name. Here the only names it can have are those of a short list,
and each stands for an inert record that remembers its arguments; whatever else it names is
refused. What an array record says is then read as plain numbers.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

MAX_BYTES = 4 << 30  # of a decompressed file: a bomb would be larger
_FUNCTIONS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.memmap", "memmap"),
    ("numpy._core.memmap", "memmap"),
    ("numpy", "memmap"),
    ("numpy.random", "__RandomState_ctor"),
    ("numpy.random._pickle", "__randomstate_ctor"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._pickle", "__generator_ctor"),
    ("numpy.random._mt19937", "MT19937"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "_reconstructor"),
    ("__builtin__", "object"),
    ("builtins", "object"),
    ("_codecs", "encode"),
    ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    ("sklearn.externals.joblib.numpy_pickle", "NumpyArrayWrapper"),
}
_DTYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class RefusedError(ValueError):
    """The pickle names or does something that a k-means file has no need of."""


def read_kmeans(path: str | Path) -> tuple[np.ndarray, str]:
    """Centroids of a pickled scikit-learn k-means.

    Args:
        path: file by ``joblib.dump`` (plain, zlib, gzip, bz2, xz) or ``pickle.dump``.

    Returns:
        The (K, D) float32 centroids and the name of the estimator's class.

    Raises:
        ValueError: if the file is missing, is no such pickle, names anything beyond k-means
            and numpy (nothing of it is run), or holds no centroids.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a k-means pickle.")
    try:
        estimator = _Reader(io.BytesIO(_decompress(path))).load()
    except RefusedError as error:
        raise ValueError(f"{path}: refused, nothing of it was run: {error}") from error
    except (
        pickle.UnpicklingError,
        *(EOFError, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError),
        *(zlib.error, lzma.LZMAError, OverflowError, MemoryError, UnicodeDecodeError),
    ) as error:
        raise ValueError(
            f"{path}: not a readable k-means pickle ({type(error).__name__}: {error}); expected a "
            "scikit-learn KMeans or MiniBatchKMeans written by joblib.dump or pickle.dump."
        ) from error
    if not isinstance(estimator, _Record) or not estimator.name.startswith("sklearn.cluster"):
        raise ValueError(f"{path}: holds {type(estimator).__name__}; expected a k-means estimator.")
    centroids = estimator.attributes.get("cluster_centers_")
    if isinstance(centroids, _Record):
        centroids = centroids.array()
    if not isinstance(centroids, np.ndarray) or centroids.ndim != 2:
        raise ValueError(f"{path}: {estimator.name} has no cluster_centers_; was it fitted?")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and the caller refuses
        narrow = centroids.astype(np.float32)
    return narrow, estimator.name.rsplit(".", 1)[-1]


def _decompress(path: Path) -> bytes:
    openers: dict[bytes, Callable[[Path], Any]] = {
        b"\x1f\x8b": gzip.open,
        b"BZ": bz2.open,
        b"\xfd7zXZ": lzma.open,
        b"\x5d\x00": lzma.open,
    }
    with open(path, "rb") as stream:
        head = stream.read(5)
    if head[:1] == b"\x78":
        engine = zlib.decompressobj()
        content = engine.decompress(path.read_bytes(), MAX_BYTES)
        if not engine.eof:
            raise EOFError(f"the zlib stream is cut off or larger than {MAX_BYTES} bytes")
        return content
    for magic, opener in openers.items():
        if head.startswith(magic):
            with opener(path) as stream:
                content = bytes(stream.read(MAX_BYTES + 1))
            break
    else:
        content = path.read_bytes()
    if len(content) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return content


class _Record:
    """Stands for an object of the pickle: its class, arguments and attributes, inert."""

    name = ""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Record:
        record = object.__new__(cls)
        record.__dict__.update(arguments=args, attributes={}, state=None)
        return record

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    arguments: tuple[Any, ...]
    attributes: dict[str, Any]
    state: Any

    def dtype(self) -> np.dtype[Any]:
        """The plain number type that a ``numpy.dtype`` record describes.

        Raises:
            RefusedError: for objects and structures.
        """
        if self.name != "numpy.dtype" or not self.arguments:
            raise RefusedError(f"expected a number type, got {self.name or 'something else'}.")
        code = str(self.arguments[0])
        if code not in _DTYPES:
            raise RefusedError(f"arrays of type '{code}'; only numbers are read.")
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "|"
        prefix = order if order in ("<", ">") else "="
        return np.dtype(f"{prefix}{code}")

    def array(self) -> np.ndarray:
        """The numbers of an ``ndarray`` that ``pickle`` itself wrote."""
        if self.name.endswith("_frombuffer"):
            content, dtype, shape, order = self.arguments
            fortran = order == "F"
        elif self.name.endswith("_reconstruct") and isinstance(self.state, tuple):
            _, shape, dtype, fortran, content = self.state
        else:
            raise RefusedError(f"'{self.name}' where an array was expected.")
        if isinstance(content, _Record):  # protocol 2 spells bytes as encode(text, "latin1")
            content = _encoded(content)
        if not isinstance(content, bytes | bytearray) or not isinstance(dtype, _Record):
            raise RefusedError("an array whose content is not bytes of numbers.")
        flat = np.frombuffer(bytes(content), dtype.dtype())
        return np.asarray(flat.reshape(shape, order="F" if fortran else "C"))


def _encoded(record: _Record) -> bytes:
    if record.name != "_codecs.encode" or len(record.arguments) != 2:
        raise RefusedError(f"'{record.name}' where bytes were expected.")
    text, encoding = record.arguments
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError("text in an unknown encoding where bytes were expected.")
    return text.encode("latin-1")


class _Reader(pickle._Unpickler):  # type: ignore[name-defined,misc]
    """Python's own pickle machine with nothing to call, reading joblib's inline arrays."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]
    stack: list[Any]
    append: Callable[[Any], None]

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="latin1")
        self._stream = stream
        self._classes: dict[str, type[_Record]] = {}

    def find_class(self, module: str, name: str) -> type[_Record]:
        """An inert class of that name.

        Raises:
            RefusedError: if the name is not on the list.
        """
        estimator = f"{module}.".startswith("sklearn.cluster.") and name.isidentifier()
        if not estimator and (module, name) not in _FUNCTIONS:
            raise RefusedError(f"it wants '{module}.{name}', which no k-means needs.")
        full = f"{module}.{name}"
        if full not in self._classes:
            self._classes[full] = type("_" + name, (_Record,), {"name": full})
        return self._classes[full]

    def persistent_load(self, pid: Any) -> Any:
        """Never: k-means files have no persistent ids."""
        raise RefusedError("it refers to data outside of the file.")

    def get_extension(self, code: int) -> None:
        """Never: the extension registry is not part of a file."""
        raise RefusedError(f"it uses extension code {code}.")

    def _reduce(self) -> None:
        """REDUCE, NEWOBJ and their kin: only records can be called, and only remember."""
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not (isinstance(function, type) and issubclass(function, _Record)):
            raise RefusedError(f"it calls a {type(function).__name__}.")
        if not isinstance(arguments, tuple):
            raise RefusedError("a call whose arguments are no tuple.")
        self.stack[-1] = self._make(function, arguments)

    def _make(self, function: type[_Record], arguments: tuple[Any, ...]) -> _Record:
        if function.name.endswith("._reconstructor"):  # protocols 0 and 1: (class, base, state)
            wanted = arguments[0] if arguments else None
            if not (isinstance(wanted, type) and issubclass(wanted, _Record)):
                raise RefusedError("it rebuilds something that is no record.")
            return wanted()
        return function(*arguments)

    def _build(self) -> None:
        """BUILD: give a record its state; a joblib wrapper then becomes the array behind it."""
        state = self.stack.pop()
        record = self.stack[-1]
        if not isinstance(record, _Record):
            raise RefusedError(f"it sets the state of a {type(record).__name__}.")
        record.state = state
        if isinstance(state, dict):
            record.attributes.update(state)
        if record.name.endswith("NumpyArrayWrapper"):
            self.stack[-1] = self._inline_array(record.attributes)

    def _inline_array(self, wrapper: dict[str, Any]) -> np.ndarray:
        """The array that joblib wrote after its wrapper: an optional padding, then the bytes."""
        dtype_record, shape = wrapper["dtype"], wrapper["shape"]
        if not isinstance(dtype_record, _Record):
            raise RefusedError("an array without a number type.")
        dtype = dtype_record.dtype()
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise RefusedError(f"an array of shape {shape!r}.")
        if wrapper.get("numpy_array_alignment_bytes") is not None:
            self._stream.read(self._stream.read(1)[0])
        size = math.prod(shape) * dtype.itemsize
        content = self._stream.read(size)
        if len(content) != size:
            raise EOFError(f"an array of {size} bytes, but only {len(content)} are left")
        flat = np.frombuffer(content, dtype)
        return flat.reshape(shape[::-1]).T if wrapper.get("order") == "F" else flat.reshape(shape)

    def _instantiate(self, klass: Any, args: Any) -> None:  # INST and OBJ
        self.append(self._make(klass, tuple(args)))

    def _newobj_ex(self) -> None:
        keywords = self.stack.pop()
        if keywords:
            raise RefusedError("a call with keywords.")
        self._reduce()


_Reader.dispatch[pickle.REDUCE[0]] = _Reader._reduce
_Reader.dispatch[pickle.NEWOBJ[0]] = _Reader._reduce
_Reader.dispatch[pickle.NEWOBJ_EX[0]] = _Reader._newobj_ex
_Reader.dispatch[pickle.BUILD[0]] = _Reader._build
