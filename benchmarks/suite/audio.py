"""Spoken words as log-mel spectrograms, as in TensorFlow's tutorial on audio recognition."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from suite.workload import AUTO, WRITTEN, Knobs, Workload, scaled, settings

BATCH = 64
RATE = 16_000


def make(folder: Path, scale: float) -> None:
    """Clips of about a second, 16 bits at 16 kHz: some tones with noise."""
    time = np.arange(RATE + RATE // 8) / RATE
    for number in range(scaled(3000, scale, least=64)):
        rng = np.random.default_rng(number)
        tones = sum(np.sin(2 * np.pi * rng.uniform(80, 4000) * time) for _ in range(3))
        clip = (tones + rng.standard_normal(len(time))) * np.hanning(len(time)) * 4000
        length = int(rng.integers(RATE * 7 // 8, len(time)))
        path = folder / f"word_{number % 10}" / f"{number:05}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_wav(clip[:length].astype("<i2").tobytes()))


def _wav(samples: bytes) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples)
    return out.getvalue()


def read(path: Any) -> tuple[Any, Any]:
    """A second of sound, and the number of the word."""
    samples, _ = tf.audio.decode_wav(tf.io.read_file(path), desired_channels=1, desired_samples=RATE)
    folder = tf.strings.split(path, "/")[-2]
    return tf.squeeze(samples, axis=-1), tf.strings.to_number(tf.strings.split(folder, "_")[-1], tf.int32)


def spectrogram(samples: Any, label: Any) -> tuple[Any, Any]:
    """Of one clip or of many."""
    magnitudes = tf.abs(tf.signal.stft(samples, frame_length=400, frame_step=160, fft_length=512))
    weights = tf.signal.linear_to_mel_weight_matrix(64, 257, RATE, 60.0, 7600.0)
    return tf.math.log(tf.tensordot(magnitudes, weights, 1) + 1e-6), label


def normalize(features: Any, label: Any) -> tuple[Any, Any]:
    return (features + 4.0) / 4.0, label


def files(place: str) -> tf.data.Dataset:
    return tf.data.Dataset.list_files(f"{place}/*/*.wav", shuffle=True)


def dataset(place: str, knobs: Knobs) -> tf.data.Dataset:
    clips = files(place).map(read, **knobs.map).map(spectrogram, **knobs.map).map(normalize, **knobs.map)
    return knobs.finished(clips.batch(BATCH))


def batched(place: str, knobs: Knobs) -> tf.data.Dataset:
    """Spectrograms are made of whole batches."""
    clips = files(place).map(read, **knobs.map).batch(BATCH)
    return knobs.finished(clips.map(spectrogram, **knobs.map).map(normalize, **knobs.map))


WORKLOAD = Workload(
    name="audio",
    sentence="WAV files of a second each: decoded, short-time Fourier transform, log-mel, in batches of 64.",
    family="audio",
    make=make,
    dataset=dataset,
    forms={"batched": batched},
    grid=settings(forms=(WRITTEN, "batched"), calls=(None, 1, 2, 3, AUTO), cycle=(None,), prefetch=(1, AUTO)),
)
