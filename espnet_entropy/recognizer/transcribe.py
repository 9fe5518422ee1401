"""``espnet-entropy transcribe``: audio files and wav.scp lists to text."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from espnet_entropy.compressor.batch import list_inputs, open_output, refuse_if_all_failed
from espnet_entropy.corpora.audio import load_audio
from espnet_entropy.recognizer.speech_to_text import SpeechToText
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.progress import progress

if TYPE_CHECKING:
    from espnet_entropy.recognizer.speech_to_text import Transcript


def transcribe_files(args: argparse.Namespace) -> int:
    """Recognize every input that can be read; the rest is named.

    Returns:
        The number of inputs that were skipped.

    Raises:
        ValueError: for a wrong model or option, or if no input could be read.
    """
    utts = list_inputs(args.inputs)
    recognize = SpeechToText.from_pretrained(
        args.model, args.device, beam_size=args.beam_size, max_length=args.max_length
    )
    recognize.load_compressor()  # a damaged one is no fault of the inputs
    failures = FailureLog("transcribe", None, max_failed=1.0)
    with open_output(args.output) as out:
        for utt, path in progress(utts.items(), "transcribe"):
            try:
                transcript = recognize(load_audio(path))
            except ValueError as error:
                failures.add(utt, error)
                continue
            if transcript.truncated:
                limit = recognize.decoding.max_length
                logging.warning("%s: cut after %d tokens; raise --max_length", utt, limit)
            print(_line(utt, transcript, args.json), file=out, flush=True)
        refuse_if_all_failed(failures, len(utts))  # before an output file appears
    failures.close(len(utts))
    return len(failures.failed)


def _line(utt: str, transcript: Transcript, as_json: bool) -> str:
    """One utterance: ``<utt> <text>`` as Kaldi writes it, or JSON."""
    if not as_json:
        return f"{utt} {transcript.text}".rstrip()
    said = asdict(transcript) | {"rate": transcript.rate}
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in said.items()}
    return json.dumps({"utt": utt} | rounded, ensure_ascii=False)
