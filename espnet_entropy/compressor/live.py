"""``espnet-entropy compress --stream``: groups from a growing file, a FIFO or stdin."""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np

from espnet_entropy.compressor.compressor import Compressor
from espnet_entropy.compressor.output import group_record
from espnet_entropy.utils.grid import FRAME_LENGTH, SAMPLE_RATE

PIECE_BYTES = 6400  # 0.2 s of 16-bit samples: short beside the features' own look-ahead
POLL_SECONDS = 0.05


def compress_stream(args: argparse.Namespace) -> None:
    """Print one JSON line per group as soon as it closes.

    Raises:
        ValueError: for more than one input, or audio that is not 16 kHz mono 16-bit, or is shorter
            than one frame.
    """
    if len(args.inputs) != 1:
        raise ValueError(f"--stream reads one input, got {len(args.inputs)}.")
    if args.textgrid or args.plot:
        raise ValueError("--textgrid and --plot need the whole utterance; leave out --stream.")
    source = args.inputs[0]
    utt = "stdin" if source == "-" else Path(source).stem
    pieces = read_pcm(source, args.follow)
    compressor = Compressor.from_pretrained(args.model, args.rate, args.criterion, args.device)
    with nullcontext(sys.stdout) if args.output is None else open(args.output, "w") as out:
        for group in _groups(compressor, pieces, "stdin" if source == "-" else source):
            print(json.dumps({"utt": utt, **group}), file=out, flush=True)


def _groups(
    compressor: Compressor, pieces: Iterator[np.ndarray], name: str
) -> Iterator[dict[str, object]]:
    stream = compressor.stream()
    heard = 0
    for samples in pieces:
        heard += len(samples)
        for group in stream.push(samples):
            yield group_record(group)
    if heard < FRAME_LENGTH:
        raise ValueError(
            f"{name}: {heard} samples are shorter than one frame of {FRAME_LENGTH} samples "
            "(25 ms); send more audio."
        )
    for group in stream.flush():
        yield group_record(group)


def read_pcm(source: str, follow: float = 0.0) -> Iterator[np.ndarray]:
    """Samples of a growing WAV (16 kHz, mono, 16 bit) or of headerless PCM of that kind.

    Args:
        source: path, or ``-`` for stdin.
        follow: seconds without growth after which a file has ended; 0 ends at its end.

    Returns:
        Iterator over (T,) float32 pieces in [-1, 1].

    Raises:
        ValueError: for a missing file; as it is read, for a WAV header of another kind.
    """
    if source == "-":
        return _decode(_pieces(sys.stdin.buffer, follow), "stdin")
    if not Path(source).exists() or Path(source).is_dir():
        raise ValueError(f"{source}: no such file; --stream wants a file, a FIFO or - for stdin.")
    return _read_file(source, follow)


def _read_file(source: str, follow: float) -> Iterator[np.ndarray]:
    with open(source, "rb", buffering=0) as stream:
        yield from _decode(_pieces(stream, follow), source)


def _pieces(stream: BinaryIO, follow: float) -> Iterator[bytes]:
    """What can be read, as it comes, until the end (or ``follow`` seconds without growth)."""
    quiet_since = time.monotonic()
    while True:
        read = getattr(stream, "read1", stream.read)
        piece = read(PIECE_BYTES)
        if piece:
            quiet_since = time.monotonic()
            yield piece
        elif time.monotonic() - quiet_since >= follow:
            return
        else:
            time.sleep(POLL_SECONDS)


def _decode(pieces: Iterator[bytes], name: str) -> Iterator[np.ndarray]:
    """Strip a WAV header if there is one; 16-bit little-endian to float32."""
    buffer = b""
    header_done = False
    left: int | None = None  # bytes of the data chunk still to come, where the header knows
    for piece in pieces:
        buffer += piece
        if not header_done:
            header = parse_wav_header(buffer, name)
            if header is None:
                continue
            offset, left = header
            buffer = buffer[offset:]
            header_done = True
        if left is not None:
            buffer = buffer[:left]
        whole = len(buffer) // 2 * 2
        if whole:
            yield np.frombuffer(buffer[:whole], dtype="<i2").astype(np.float32) / 32768.0
        if left is not None:
            left -= whole
        buffer = buffer[whole:]
    if not header_done and buffer[:4] == b"RIFF":
        raise ValueError(f"{name}: the WAV header is not whole; expected samples after it.")


def parse_wav_header(start: bytes, name: str) -> tuple[int, int | None] | None:
    """Where the samples begin and how many bytes they are.

    Args:
        start: the first bytes of the stream.
        name: for messages.

    Returns:
        ``None`` if more bytes are needed; (0, None) without a header; else the offset and the
        size of the data, ``None`` where a growing file does not know it yet.

    Raises:
        ValueError: for audio that is not 16 kHz mono 16-bit PCM.
    """
    if len(start) < 12:
        return None
    if start[:4] in (b"fLaC", b"OggS") or start[:3] == b"ID3":
        raise ValueError(
            f"{name}: compressed audio cannot be streamed; expected 16-bit PCM. "
            "Decode it first: ffmpeg -i FILE -ar 16000 -ac 1 -f s16le - | espnet-entropy compress "
            "--stream -"
        )
    if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
        return (0, None)
    position = 12
    while position + 8 <= len(start):
        kind, size = struct.unpack_from("<4sI", start, position)
        if kind == b"data":
            return (position + 8, None if size in (0, 0xFFFFFFFF) or size >= 1 << 31 else size)
        if kind == b"fmt " and position + 24 <= len(start):
            _check_format(struct.unpack_from("<HHIIHH", start, position + 8), name)
        position += 8 + size + size % 2
    return None


def _check_format(fields: tuple[int, ...], name: str) -> None:
    code, channels, rate, bits = fields[0], fields[1], fields[2], fields[5]
    if code not in (1, 0xFFFE) or channels != 1 or rate != SAMPLE_RATE or bits != 16:
        raise ValueError(
            f"{name}: got {rate} Hz, {channels} channel(s), {bits} bit (format {code}); a stream "
            "must be 16000 Hz, 1 channel, 16-bit PCM. Convert it: sox IN -r 16000 -c 1 -b 16 OUT"
        )
