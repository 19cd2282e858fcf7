"""Silhouettes from larger networks, for users who have their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from backend.errors import HumanRefError
from backend.perception.backdrop import Backdrop, detection_picture
from backend.perception.hub import loading_failed, require, resolve_weights
from backend.perception.landmarks import Detection
from backend.perception.segmentation import checked_mask, no_silhouette, person_component
from backend.perception.subject import Photo

BIREFNET = "ZhengPeng7/BiRefNet"
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_COCO_PERSON = 1
_MASK_RCNN_FILE = "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"


class BirefnetSegmentation:
    """BiRefNet (MIT) through transformers: high-resolution matting of the salient foreground.

    Its model code lives beside its weights, so loading it runs that repository's Python files.

    Args:
        repo: hub id or local folder.
        device: torch device.
        allow_download: whether a hub id may be fetched.
        size: side of the square that the network sees, pixels (trained at 1024).

    Raises:
        HumanRefError: ``missing_package``, ``weights_missing``, ``weights_unreadable``.
    """

    name = "birefnet"

    def __init__(
        self,
        repo: str = BIREFNET,
        *,
        device: str = "cpu",
        allow_download: bool = False,
        size: int = 1024,
    ) -> None:
        require("hub", "transformers")
        from transformers import AutoModelForImageSegmentation

        path = resolve_weights(repo, allow_download=allow_download)
        try:
            model = AutoModelForImageSegmentation.from_pretrained(path, trust_remote_code=True)
        except (ImportError, OSError, ValueError, RuntimeError, AttributeError) as error:
            raise loading_failed(repo, error) from error
        self._model = model.to(device).eval()
        self._device = device
        self._size = size

    @torch.no_grad()
    def segment(
        self, photo: Photo, detection: Detection, backdrop: Backdrop | None
    ) -> Float[np.ndarray, "h w"]:
        """See :class:`backend.perception.segmentation.Segmenter`."""
        height, width = photo.rgb.shape[:2]
        picture = detection_picture(photo, None)
        small = cv2.resize(picture, (self._size, self._size), interpolation=cv2.INTER_AREA)
        pixels = (small.astype(np.float32) / 255.0 - _MEAN) / _STD
        batch = torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy()).to(self._device)
        outputs = self._model(batch.to(next(self._model.parameters()).dtype))
        # BiRefNet answers with one map a decoder stage; the last is the finest.
        logits = outputs[-1] if isinstance(outputs, list | tuple) else outputs.logits
        coarse = logits.float().sigmoid()[0, 0].cpu().numpy()
        soft = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        return of_the_person(soft.astype(np.float32), detection)


class MaskRcnnSegmentation:
    """The paper's Mask R-CNN (3.1): torchvision's ResNet-50 FPN trained on COCO (BSD-3).

    Args:
        weights: a ``.pth`` state dict; None takes torchvision's own file from the torch hub cache.
        device: torch device.
        allow_download: whether torchvision may fetch its file.

    Raises:
        HumanRefError: ``missing_package``, ``weights_missing``, ``weights_unreadable``.
    """

    name = "mask-rcnn"

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str = "cpu",
        allow_download: bool = False,
    ) -> None:
        require("maskrcnn", "torchvision")
        try:
            from torchvision.models.detection import maskrcnn_resnet50_fpn
        except (ImportError, RuntimeError) as error:
            raise HumanRefError(
                "missing_package",
                f"torchvision does not fit the installed torch {torch.__version__} ({error}).",
                "Install the torchvision built for this torch.",
            ) from error
        path = Path(weights).expanduser() if weights is not None else mask_rcnn_weights()
        self._device = device
        if path is None and allow_download:
            model = maskrcnn_resnet50_fpn(weights="DEFAULT")
        elif path is None or not path.is_file():
            raise HumanRefError(
                "weights_missing",
                f"The Mask R-CNN weights ({path or _MASK_RCNN_FILE}) are not on this machine.",
                "Give torchvision's .pth file.",
            )
        else:
            model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
            try:
                model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            except (RuntimeError, OSError, ValueError, KeyError, EOFError) as error:
                raise loading_failed(str(path), error) from error
        self._model = model.to(device).eval()

    @torch.no_grad()
    def segment(
        self, photo: Photo, detection: Detection, backdrop: Backdrop | None
    ) -> Float[np.ndarray, "h w"]:
        """See :class:`backend.perception.segmentation.Segmenter`."""
        picture = detection_picture(photo, None)
        batch = torch.from_numpy(picture.transpose(2, 0, 1).copy()).float().div(255.0)
        found: Mapping[str, Any] = self._model([batch.to(self._device)])[0]
        instances = [
            mask[0].cpu().numpy().astype(np.float32)
            for mask, label, score in zip(
                found["masks"], found["labels"], found["scores"], strict=True
            )
            if int(label) == _COCO_PERSON and float(score) > 0.5
        ]
        soft = matching_instance(instances, detection.prior)
        return of_the_person(refined_edge(picture, soft), detection)


def mask_rcnn_weights() -> Path | None:
    """torchvision's COCO file in the torch hub cache, if it is there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / _MASK_RCNN_FILE
    return path if path.is_file() else None


def matching_instance(
    instances: list[Float[np.ndarray, "h w"]], prior: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """The instance that overlaps the chosen person most (IoU); ``mask_empty`` when none does."""
    best, overlap = None, 0.2
    wanted = prior > 0.5
    for instance in instances:
        inside = instance > 0.5
        iou = float((inside & wanted).sum()) / max(1, int((inside | wanted).sum()))
        if iou > overlap:
            best, overlap = instance, iou
    if best is None:
        raise no_silhouette()
    return best


def of_the_person(soft: Float[np.ndarray, "h w"], detection: Detection) -> Float[np.ndarray, "h w"]:
    """A foreground map without other people and without pieces that are not the chosen person."""
    if detection.others is not None:
        soft = soft * ~detection.others
    piece = person_component(soft > 0.5, detection.prior, grow=max(2, soft.shape[0] // 256))
    return checked_mask(soft * piece)


def refined_edge(
    picture: UInt8[np.ndarray, "h w 3"], soft: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Mask R-CNN predicts 28 x 28 masks: bring their edge back to the photo's edges."""
    radius = max(2, round(0.01 * max(soft.shape)))
    fine = cv2.ximgproc.guidedFilter(picture, soft, radius, (0.01 * 255.0) ** 2)
    return np.clip(fine, 0.0, 1.0).astype(np.float32)
