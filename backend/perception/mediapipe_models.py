"""The MediaPipe models inside the wheel, called quietly.

Only complexity 1 ships in the wheel (0 and 2 would download). MediaPipe's C++ side writes to file
descriptor 2 whatever Python's logging says; it is turned off around its calls and restored.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from backend.errors import HumanRefError

_STDERR_LOCK = threading.Lock()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send what native code writes to standard error nowhere, for the time of one call."""
    with _STDERR_LOCK:
        try:
            saved = os.dup(2)
        except OSError:
            # A process without a standard error (a service) has nothing to silence.
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(sink)
            os.close(saved)


def mediapipe_solutions() -> ModuleType:
    """MediaPipe's ``solutions`` package.

    Raises:
        HumanRefError: ``mediapipe_unavailable`` when it is missing, is 1.x (no models inside) or
            cannot load its system libraries.
    """
    _triton_first()
    try:
        with quiet_stderr():
            import mediapipe

            solutions: ModuleType = mediapipe.solutions
            return solutions
    except (ImportError, OSError, AttributeError) as error:
        raise HumanRefError(
            "mediapipe_unavailable",
            f"MediaPipe cannot be loaded ({error}).",
            "Install mediapipe==0.10.14; on Linux it also needs libGL and libglib "
            "(Debian: apt install libgl1 libglib2.0-0).",
        ) from error


def _triton_first() -> None:
    """Load Triton, where it is installed, before MediaPipe opens the screen.

    MediaPipe loads the system's OpenGL, and Mesa brings an LLVM whose symbols Triton's own copy then
    binds to: importing Triton after it (diffusers does, through PyTorch) ends the process with a
    segmentation fault. The other order is safe.
    """
    if importlib.util.find_spec("triton") is not None:
        with suppress(ImportError, OSError):
            importlib.import_module("triton")


@dataclass(frozen=True)
class HolisticResult:
    """One person as MediaPipe sees them, in pixels of the picture given.

    ``body``: (33, 4) u, v, z (pixels, away from the camera), visibility. ``body_world``: (33, 3)
    MediaPipe metres (y down, z away). Hands and face: (n, 3) u, v, z pixels. ``mask``: probability.
    """

    body: Float[np.ndarray, "33 4"]
    body_world: Float[np.ndarray, "33 3"]
    left_hand: Float[np.ndarray, "21 3"] | None
    right_hand: Float[np.ndarray, "21 3"] | None
    face: Float[np.ndarray, "478 3"] | None
    mask: Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class HandResult:
    """One hand: (21, 2) pixels, (21, 3) MediaPipe metres, whether it is the left one, score."""

    points: Float[np.ndarray, "21 2"]
    world: Float[np.ndarray, "21 3"]
    is_left: bool
    score: float


class MediapipeModels:
    """Holistic, hands and selfie models; made on first use, freed by ``close`` (or ``with``)."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __enter__(self) -> MediapipeModels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graphs."""
        with quiet_stderr():
            for model in self._made.values():
                model.close()
        self._made.clear()

    def _model(self, name: str) -> Any:
        if name not in self._made:
            solutions = mediapipe_solutions()
            with quiet_stderr():
                if name == "holistic":
                    made = solutions.holistic.Holistic(
                        static_image_mode=True,
                        model_complexity=1,
                        enable_segmentation=True,
                        refine_face_landmarks=True,
                    )
                elif name == "hands":
                    made = solutions.hands.Hands(
                        static_image_mode=True,
                        max_num_hands=2,
                        model_complexity=1,
                        min_detection_confidence=0.3,
                    )
                else:
                    made = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
            self._made[name] = made
        return self._made[name]

    def holistic(self, picture: UInt8[np.ndarray, "h w 3"]) -> HolisticResult | None:
        """The most prominent person of an sRGB picture, or None."""
        model = self._model("holistic")
        with quiet_stderr():
            found = model.process(np.ascontiguousarray(picture))
        if found.pose_landmarks is None or found.segmentation_mask is None:
            return None
        height, width = picture.shape[:2]
        body = _points(found.pose_landmarks, width, height)
        visibility = np.array([p.visibility for p in found.pose_landmarks.landmark], np.float32)
        face = _optional(found.face_landmarks, width, height)
        return HolisticResult(
            body=np.concatenate([body, visibility[:, None]], 1),
            body_world=_points(found.pose_world_landmarks, 1, 1),
            left_hand=_optional(found.left_hand_landmarks, width, height),
            right_hand=_optional(found.right_hand_landmarks, width, height),
            face=face if face is not None and len(face) == 478 else None,
            mask=np.clip(found.segmentation_mask, 0.0, 1.0).astype(np.float32),
        )

    def hands(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[HandResult]:
        """Up to two hands of an unmirrored picture."""
        model = self._model("hands")
        with quiet_stderr():
            found = model.process(np.ascontiguousarray(picture))
        if not found.multi_hand_landmarks:
            return []
        height, width = picture.shape[:2]
        return [
            HandResult(
                points=_points(landmarks, width, height)[:, :2],
                world=_points(world, 1, 1),
                # The model names hands as in a selfie, which is mirrored.
                is_left=side.classification[0].label == "Right",
                score=float(side.classification[0].score),
            )
            for landmarks, world, side in zip(
                found.multi_hand_landmarks,
                found.multi_hand_world_landmarks,
                found.multi_handedness,
                strict=True,
            )
        ]

    def selfie(self, picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
        """Probability of a person at each pixel."""
        model = self._model("selfie")
        with quiet_stderr():
            found = model.process(np.ascontiguousarray(picture))
        return np.asarray(np.clip(found.segmentation_mask, 0.0, 1.0), np.float32)


def _points(landmarks: Any, width: int, height: int) -> Float[np.ndarray, "n 3"]:
    """u, v, z; MediaPipe scales z like u, by the picture's width."""
    raw = np.array([[p.x, p.y, p.z] for p in landmarks.landmark], np.float32)
    scaled: np.ndarray = raw * np.array([width, height, width], np.float32)
    return scaled


def _optional(landmarks: Any, width: int, height: int) -> Float[np.ndarray, "n 3"] | None:
    return None if landmarks is None else _points(landmarks, width, height)
